// FreeBSD 11 to 13 with options RSS: the kernel finds the listener of a packet's RSS bucket.
#include <sys/socket.h>

#include "steering/steering.h"

namespace rss {
namespace {

bool IsIpv6(int fd) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  return getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) == 0 &&
         address.ss_family == AF_INET6;
}

Status Prepare(int fd, int bucket) {
  Status status = SetOption(fd, SocketOption::kBindMulti, 1);
  if (!status.ok()) return status;
  // On an IPv6 socket BINDMULTI alone fails the second bind with EADDRINUSE.
  if (IsIpv6(fd)) status = SetOption(fd, SocketOption::kReusePort, 1);
  if (!status.ok()) return status;
  return SetOption(fd, SocketOption::kListenBucket, bucket);
}

}  // namespace

const SteeringMethod kListenBucketMethod = {"listen-bucket", Prepare, AllowDualStack, nullptr};

}  // namespace rss
