#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "platform/platform.h"

#ifndef SO_INCOMING_CPU
#define SO_INCOMING_CPU 49
#endif
#ifndef SO_ATTACH_REUSEPORT_CBPF
#define SO_ATTACH_REUSEPORT_CBPF 51
#endif

namespace rss {
namespace {

struct OptionName {
  int level;
  int name;
  const char* text;
};

int FamilyOf(int fd) {
  int family = AF_INET;
  socklen_t length = sizeof family;
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
  return family;
}

// level -1: Linux has no such option.
OptionName NameOf(SocketOption option, int family) {
  bool v6 = family == AF_INET6;
  switch (option) {
    case SocketOption::kBindAny:
      return v6 ? OptionName{IPPROTO_IPV6, IPV6_TRANSPARENT, "IPV6_TRANSPARENT"}
                : OptionName{IPPROTO_IP, IP_TRANSPARENT, "IP_TRANSPARENT"};
    case SocketOption::kReusePort:
      return {SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT"};
    case SocketOption::kRecvDestination:
      return v6 ? OptionName{IPPROTO_IPV6, IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO"}
                : OptionName{IPPROTO_IP, IP_PKTINFO, "IP_PKTINFO"};
    case SocketOption::kBindMulti:
      return {-1, 0, v6 ? "IPV6_BINDMULTI" : "IP_BINDMULTI"};
    case SocketOption::kListenBucket:
      return {-1, 0, v6 ? "IPV6_RSS_LISTEN_BUCKET" : "IP_RSS_LISTEN_BUCKET"};
    case SocketOption::kReusePortLb:
      return {-1, 0, "SO_REUSEPORT_LB"};
    case SocketOption::kReusePortLbNuma:
      return {-1, 0, "TCP_REUSPORT_LB_NUMA"};
    case SocketOption::kRecvFlowId:
      return {-1, 0, v6 ? "IPV6_RECVFLOWID" : "IP_RECVFLOWID"};
    case SocketOption::kRecvRssBucketId:
      return {-1, 0, v6 ? "IPV6_RECVRSSBUCKETID" : "IP_RECVRSSBUCKETID"};
  }
  return {-1, 0, ""};
}

Failure Absent(const char* syscall, const OptionName& name) {
  return Failure{-ENOPROTOOPT, syscall, name.text, {}};
}

}  // namespace

Status SetOption(int fd, SocketOption option, int value) {
  OptionName name = NameOf(option, FamilyOf(fd));
  if (name.level < 0) return Absent("setsockopt", name);
  if (setsockopt(fd, name.level, name.name, &value, sizeof value) != 0)
    return LastError("setsockopt", name.text);
  return Nothing{};
}

Result<int> GetOption(int fd, SocketOption option) {
  OptionName name = NameOf(option, FamilyOf(fd));
  if (name.level < 0) return Absent("getsockopt", name);
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(fd, name.level, name.name, &value, &length) != 0)
    return LastError("getsockopt", name.text);
  return value;
}

Result<KernelFlow> GetKernelFlow(int) {
  return Failure{-ENOPROTOOPT, "getsockopt", "IP_FLOWID", {}};
}

int IncomingCpu(int fd) {
  int cpu = -1;
  socklen_t length = sizeof cpu;
  return getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, &length) == 0 ? cpu : -errno;
}

SocketOption BalancingOption() {
  return SocketOption::kReusePort;
}

bool BalancesDualStack() {
  return true;
}

Status AttachReusePortProgram(int fd, const BpfProgram& program) {
  static_assert(sizeof(BpfInstruction) == sizeof(sock_filter), "same layout");
  sock_fprog filter;
  filter.len = static_cast<unsigned short>(program.size());
  filter.filter = reinterpret_cast<sock_filter*>(const_cast<BpfInstruction*>(program.data()));
  if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof filter) != 0)
    return LastError("setsockopt", "SO_ATTACH_REUSEPORT_CBPF");
  return Nothing{};
}

}  // namespace rss
