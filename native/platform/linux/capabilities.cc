#include <linux/filter.h>
#include <sys/utsname.h>

#include "platform/platform.h"

namespace rss {

Capabilities ProbeCapabilities() {
  Capabilities c;
  c.platform = "linux";
  utsname name;
  if (uname(&name) == 0) c.release = name.release;
  c.rss_config = -ENOTSUP;
  c.listen_bucket_v6 = -ENOPROTOOPT;
  UniqueFd tcp(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  UniqueFd v6(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  c.ipv6 = v6 ? 0 : -EAFNOSUPPORT;
  for (size_t i = 0; i < kSocketOptions; ++i)
    c.options[i] = SetOption(tcp.get(), static_cast<SocketOption>(i), 1).failure.error;
  c.reuse_port_bpf = AttachReusePortProgram(tcp.get(), CpuProgram({0})).failure.error;
  c.cpu_domains = CpuDomains();
  return c;
}

}  // namespace rss
