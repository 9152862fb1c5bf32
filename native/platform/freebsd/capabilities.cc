#include <sys/types.h>
// sys/sysctl.h needs sys/types.h first
#include <sys/sysctl.h>
#include <sys/utsname.h>

#include "platform/platform.h"

namespace rss {
namespace {

int Try(const UniqueFd& fd, SocketOption option, int value) {
  return SetOption(fd.get(), option, value).failure.error;
}

int SysctlOr(const char* name, int otherwise) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 ? value : otherwise;
}

UniqueFd Scratch(int family, int type) {
  return UniqueFd(socket(family, type | SOCK_CLOEXEC, 0));
}

// TCP_REUSPORT_LB_NUMA is ENOENT until its socket is in a group, so it is tried on a member.
int TryLbNuma() {
  UniqueFd fd = Scratch(AF_INET, SOCK_STREAM);
  SocketAddress any;
  any.v4.sin_family = AF_INET;
  any.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int error = Try(fd, SocketOption::kReusePortLb, 1);
  if (error != 0) return error;
  if (bind(fd.get(), &any.sa, any.length()) != 0) return -errno;
  if (listen(fd.get(), 1) != 0) return -errno;  // 15 adds a socket to its group here
  return Try(fd, SocketOption::kReusePortLbNuma, -1);
}

int TryAlone(SocketOption option) {
  if (option == SocketOption::kReusePortLbNuma) return TryLbNuma();
  bool of_datagrams = option >= SocketOption::kRecvFlowId;
  UniqueFd fd = Scratch(AF_INET, of_datagrams ? SOCK_DGRAM : SOCK_STREAM);
  return Try(fd, option, option == SocketOption::kListenBucket ? 0 : 1);
}

}  // namespace

Capabilities ProbeCapabilities() {
  Capabilities c;
  c.platform = "freebsd";
  utsname name;
  if (uname(&name) == 0) c.release = name.release;
  c.rss_config = ReadKernelRssConfig().failure.error;
  for (size_t i = 0; i < kSocketOptions; ++i) c.options[i] = TryAlone(static_cast<SocketOption>(i));
  UniqueFd v6 = Scratch(AF_INET6, SOCK_STREAM);
  c.ipv6 = v6 ? 0 : -EAFNOSUPPORT;
  c.listen_bucket_v6 = v6 ? Try(v6, SocketOption::kListenBucket, 0) : c.ipv6;
  c.reuse_port_bpf = -ENOTSUP;
  c.cpu_domains = CpuDomains();
  c.netisr_threads = SysctlOr("net.isr.numthreads", 0);
  c.jailed = SysctlOr("security.jail.jailed", 0) != 0;
  return c;
}

}  // namespace rss
