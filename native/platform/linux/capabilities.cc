#include <linux/filter.h>
#include <sys/utsname.h>

#include "platform/platform.h"

namespace rss {
namespace {

int Try(int fd, SocketOption option, int value) {
  return SetOption(fd, option, value).failure.error;
}

}  // namespace

Capabilities ProbeCapabilities() {
  Capabilities c;
  c.platform = "linux";
  utsname name;
  if (uname(&name) == 0) c.release = name.release;
  c.rss_config = -ENOTSUP;
  c.listen_bucket = c.listen_bucket_v6 = c.bind_multi = c.reuse_port_lb = c.reuse_port_lb_numa =
      c.recv_flow_id = c.recv_rss_bucket_id = -ENOPROTOOPT;
  UniqueFd tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  UniqueFd v6(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  c.ipv6 = v6 ? 0 : -EAFNOSUPPORT;
  c.bind_any = Try(tcp.get(), SocketOption::kBindAny, 1);
  c.reuse_port = Try(tcp.get(), SocketOption::kReusePort, 1);
  c.reuse_port_bpf = AttachReusePortProgram(tcp.get(), CpuProgram({0})).failure.error;
  c.cpu_domains = CpuDomains();
  return c;
}

}  // namespace rss
