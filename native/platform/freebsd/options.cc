#include <string.h>

#include "platform/freebsd/constants.h"
#include "platform/platform.h"

namespace rss {
namespace {

struct OptionName {
  int level;
  int name;
  const char* text;
};

// An IPv6 socket takes only the IPPROTO_IPV6 names, for v4-mapped peers too.
int FamilyOf(int fd) {
  int family = AF_INET;
  socklen_t length = sizeof family;
  if (getsockopt(fd, SOL_SOCKET, kSoDomain, &family, &length) == 0) return family;
  sockaddr_storage address;
  length = sizeof address;
  memset(&address, 0, sizeof address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return AF_INET;
  return address.ss_family;
}

OptionName NameOf(SocketOption option, int family) {
  bool v6 = family == AF_INET6;
  switch (option) {
    case SocketOption::kBindAny:
      return v6 ? OptionName{IPPROTO_IPV6, kIpv6BindAny, "IPV6_BINDANY"}
                : OptionName{IPPROTO_IP, kIpBindAny, "IP_BINDANY"};
    case SocketOption::kBindMulti:
      return v6 ? OptionName{IPPROTO_IPV6, kIpv6BindMulti, "IPV6_BINDMULTI"}
                : OptionName{IPPROTO_IP, kIpBindMulti, "IP_BINDMULTI"};
    case SocketOption::kListenBucket:
      return v6 ? OptionName{IPPROTO_IPV6, kIpv6RssListenBucket, "IPV6_RSS_LISTEN_BUCKET"}
                : OptionName{IPPROTO_IP, kIpRssListenBucket, "IP_RSS_LISTEN_BUCKET"};
    case SocketOption::kReusePort:
      return {SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT"};
    case SocketOption::kReusePortLb:
      return {SOL_SOCKET, kSoReusePortLb, "SO_REUSEPORT_LB"};
    case SocketOption::kReusePortLbNuma:
      return {IPPROTO_TCP, kTcpReusePortLbNuma, "TCP_REUSPORT_LB_NUMA"};
    case SocketOption::kRecvFlowId:
      return v6 ? OptionName{IPPROTO_IPV6, kIpv6RecvFlowId, "IPV6_RECVFLOWID"}
                : OptionName{IPPROTO_IP, kIpRecvFlowId, "IP_RECVFLOWID"};
    case SocketOption::kRecvRssBucketId:
      return v6 ? OptionName{IPPROTO_IPV6, kIpv6RecvRssBucketId, "IPV6_RECVRSSBUCKETID"}
                : OptionName{IPPROTO_IP, kIpRecvRssBucketId, "IP_RECVRSSBUCKETID"};
    case SocketOption::kRecvDestination:
      return v6 ? OptionName{IPPROTO_IPV6, IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO"}
                : OptionName{IPPROTO_IP, IP_RECVDSTADDR, "IP_RECVDSTADDR"};
  }
  return {-1, 0, ""};
}

}  // namespace

Status SetOption(int fd, SocketOption option, int value) {
  OptionName name = NameOf(option, FamilyOf(fd));
  if (setsockopt(fd, name.level, name.name, &value, sizeof value) != 0)
    return LastError("setsockopt", name.text);
  return Nothing{};
}

Result<int> GetOption(int fd, SocketOption option) {
  OptionName name = NameOf(option, FamilyOf(fd));
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(fd, name.level, name.name, &value, &length) != 0)
    return LastError("getsockopt", name.text);
  return value;
}

Result<KernelFlow> GetKernelFlow(int fd) {
  bool v6 = FamilyOf(fd) == AF_INET6;
  int level = v6 ? IPPROTO_IPV6 : IPPROTO_IP;
  KernelFlow flow;
  socklen_t length = sizeof flow.flow_id;
  if (getsockopt(fd, level, v6 ? kIpv6FlowId : kIpFlowId, &flow.flow_id, &length) != 0)
    return LastError("getsockopt", v6 ? "IPV6_FLOWID" : "IP_FLOWID");
  length = sizeof flow.hash_type;
  if (getsockopt(fd, level, v6 ? kIpv6FlowType : kIpFlowType, &flow.hash_type, &length) != 0)
    return LastError("getsockopt", v6 ? "IPV6_FLOWTYPE" : "IP_FLOWTYPE");
  return flow;
}

int IncomingCpu(int) {
  return -ENOPROTOOPT;
}

Result<ConnectionBytes> BytesOfConnection(int) {
  return Failure{-ENOTSUP, "getsockopt", "TCP_INFO", {}};
}

bool CountsBytesOfConnections() {
  return false;
}

SocketOption BalancingOption() {
  return SocketOption::kReusePortLb;
}

bool BalancesDualStack() {
  return false;
}

Status AttachReusePortProgram(int, const BpfProgram&) {
  return Failure{-ENOTSUP, "setsockopt", "SO_ATTACH_REUSEPORT_CBPF", {}};
}

}  // namespace rss
