// Counters of the host: net.inet.udp.stats and net.inet.tcp.stats. FreeBSD keeps none for a socket.
#include <sys/types.h>
// the headers below need sys/types.h first
#include <netinet/in.h>
#include <netinet/in_systm.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/tcp_var.h>
#include <netinet/udp.h>
#include <netinet/udp_var.h>
#include <stddef.h>
#include <sys/sysctl.h>

#include "platform/platform.h"

namespace rss {
namespace {

// A counter of a structure of 64-bit counters, to which later releases append.
Result<double> ReadCounter(const char* name, size_t offset) {
  uint64_t counters[512] = {};
  size_t size = sizeof counters;
  if (sysctlbyname(name, counters, &size, nullptr, 0) != 0) {
    Failure failure = LastError("sysctlbyname");
    failure.detail = name;
    return failure;
  }
  return static_cast<double>(counters[offset / sizeof *counters]);
}

}  // namespace

Result<uint32_t> DroppedBySocket(int) {
  return Failure{-ENOTSUP, "getsockopt", nullptr, "FreeBSD counts for the whole host"};
}

Result<HostDrops> DroppedByHost() {
  auto datagrams = ReadCounter("net.inet.udp.stats", offsetof(udpstat, udps_fullsock));
  if (!datagrams.ok()) return datagrams.failure;
  auto connections = ReadCounter("net.inet.tcp.stats", offsetof(tcpstat, tcps_listendrop));
  if (!connections.ok()) return connections.failure;
  return HostDrops{*datagrams, *connections};
}

Result<int> AcceptQueueLength(int fd) {
  int waiting = 0;
  socklen_t length = sizeof waiting;
  if (getsockopt(fd, SOL_SOCKET, SO_LISTENQLEN, &waiting, &length) != 0)
    return LastError("getsockopt", "SO_LISTENQLEN");
  return waiting;
}

}  // namespace rss
