// Where packets to a peer leave: route(4), and the groups of an interface.
#include <sys/types.h>
// net/if.h and net/route.h need sys/types.h and sys/socket.h first
#include <net/if.h>
#include <net/if_dl.h>
#include <net/route.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "platform/platform.h"

namespace rss {
namespace {

constexpr size_t kMostQueries = 16;  // per thread; each has a descriptor
constexpr int kMostMessages = 64;    // for others, which one call skips
constexpr time_t kRepeatSeconds = 1;

struct RouteMessage {
  rt_msghdr header;
  uint8_t addresses[512];
};

time_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC_FAST, &now);
  return now.tv_sec;
}

// The interface that a route leaves by.
struct Interface {
  std::string name;    // empty: the kernel did not say
  bool local = false;  // the destination is an address of this host
};

Interface InterfaceOf(const RouteMessage& message) {
  Interface out;
  if (message.header.rtm_errno != 0) return out;
  out.local = (message.header.rtm_flags & RTF_LOCAL) != 0;
  const uint8_t* next = message.addresses;
  const uint8_t* end = reinterpret_cast<const uint8_t*>(&message) +
                       std::min<size_t>(message.header.rtm_msglen, sizeof message);
  for (int bit = 1; bit <= RTA_IFP && next < end; bit <<= 1) {
    if ((message.header.rtm_addrs & bit) == 0) continue;
    auto* address = reinterpret_cast<const sockaddr*>(next);
    if (bit == RTA_IFP && address->sa_family == AF_LINK) {
      auto* link = reinterpret_cast<const sockaddr_dl*>(address);
      out.name.assign(link->sdl_data, link->sdl_nlen);
    }
    next += SA_SIZE(address);
  }
  return out;
}

// A request for the route to one peer. A netisr thread answers it, usually at once, on a busy
// machine after many milliseconds.
class RouteQuery {
 public:
  // `peer` has no port.
  explicit RouteQuery(const SocketAddress& peer)
      : peer_(peer), fd_(socket(PF_ROUTE, SOCK_RAW | SOCK_CLOEXEC, 0)) {
    // Answers go to every routing socket; this number tells ours from those of other threads.
    static std::atomic<int> sequence{0};
    number_ = ++sequence;
  }

  const SocketAddress& peer() const { return peer_; }
  // False when the kernel does not take the request.
  bool Send();
  // Waits for the answer, `wait_ms` at most; -1 has no limit. False: it is not there yet.
  bool Receive(int wait_ms, Interface* out);

 private:
  SocketAddress peer_;
  UniqueFd fd_;
  int number_;
  time_t sent_ = 0;
};

bool RouteQuery::Send() {
  RouteMessage message{};
  message.header.rtm_version = RTM_VERSION;
  message.header.rtm_type = RTM_GET;
  message.header.rtm_addrs = RTA_DST | RTA_IFP;
  message.header.rtm_pid = getpid();
  message.header.rtm_seq = number_;
  // sa_len says where the next address begins. SocketAddress leaves it 0: Linux has no such field.
  SocketAddress destination = peer_;
  destination.sa.sa_len = static_cast<uint8_t>(peer_.length());
  memcpy(message.addresses, &destination.sa, peer_.length());
  size_t at = SA_SIZE(&destination.sa);
  sockaddr_dl wanted{};
  wanted.sdl_len = sizeof wanted;
  wanted.sdl_family = AF_LINK;
  memcpy(message.addresses + at, &wanted, sizeof wanted);
  message.header.rtm_msglen = static_cast<u_short>(sizeof message.header + at +
                                                   SA_SIZE(reinterpret_cast<sockaddr*>(&wanted)));
  sent_ = Now();
  return write(fd_.get(), &message, message.header.rtm_msglen) >= 0;
}

bool RouteQuery::Receive(int wait_ms, Interface* out) {
  for (int looked = 0; wait_ms < 0 || looked < kMostMessages; ++looked) {
    // A full receive buffer loses answers, so an unanswered request is repeated.
    if (Now() - sent_ > kRepeatSeconds) (void)Send();
    int wait = wait_ms < 0 ? 1000 * static_cast<int>(kRepeatSeconds + 1) : wait_ms;
    pollfd answer{fd_.get(), POLLIN, 0};
    if (poll(&answer, 1, wait) != 1) {
      if (wait_ms < 0) continue;
      return false;
    }
    RouteMessage message{};
    ssize_t got = recv(fd_.get(), &message, sizeof message, MSG_DONTWAIT);
    if (got >= static_cast<ssize_t>(sizeof message.header) && message.header.rtm_pid == getpid() &&
        message.header.rtm_seq == number_) {
      *out = InterfaceOf(message);
      return true;
    }
  }
  return false;
}

// The interface to `peer`. False: the kernel has not answered yet, and a later call with this peer
// on this thread finds the answer.
bool FindInterface(const SocketAddress& peer, int wait_ms, Interface* out) {
  static thread_local std::vector<RouteQuery> queries;
  auto query = std::find_if(queries.begin(), queries.end(),
                            [&](const RouteQuery& one) { return one.peer() == peer; });
  if (query == queries.end()) {
    // The oldest query is dropped: its connection may have ended.
    if (queries.size() == kMostQueries) queries.erase(queries.begin());
    queries.emplace_back(peer);
    query = queries.end() - 1;
    if (!query->Send()) {
      queries.erase(query);
      return true;
    }
  } else if (wait_ms > 0) {
    wait_ms = 0;  // an earlier call has waited
  }
  bool answered = query->Receive(wait_ms, out);
  if (answered) queries.erase(query);
  return answered;
}

// Whether a device of this name, em0, is attached to a bus: dev.em.0.%parent.
bool HasDevice(const std::string& name) {
  size_t unit = name.find_last_not_of("0123456789") + 1;
  if (unit == 0 || unit == name.size()) return false;
  std::string parent = "dev." + name.substr(0, unit) + "." + name.substr(unit) + ".%parent";
  size_t length = 0;
  return sysctlbyname(parent.c_str(), nullptr, &length, nullptr, 0) == 0;
}

// Interfaces that the kernel creates on request (lo, epair, bridge, tap, vlan, lagg) are in the
// group of their kind; a physical one is in "all" alone. Those of ng_eiface(4) are too, but they
// are no devices.
bool IsPhysical(const std::string& name) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifg_req groups[8] = {};
  ifgroupreq request{};
  memcpy(request.ifgr_name, name.c_str(), name.size());
  request.ifgr_len = sizeof groups;
  request.ifgr_groups = groups;
  if (!fd || ioctl(fd.get(), SIOCGIFGROUP, &request) != 0) return false;
  // ifgr_len stays as given, so the groups are those that have names.
  auto count = std::count_if(std::begin(groups), std::end(groups),
                             [](const ifg_req& group) { return group.ifgrq_group[0] != 0; });
  return count == 1 && strcmp(groups[0].ifgrq_group, IFG_ALL) == 0 && HasDevice(name);
}

}  // namespace

Route RouteTo(const SocketAddress& address, int wait_ms) {
  SocketAddress peer = address.Unmapped();
  if (peer.family() != AF_INET && peer.family() != AF_INET6) return Route::kUnknown;
  peer.set_port(0);
  Interface found;
  if (!FindInterface(peer, wait_ms, &found)) return Route::kPending;
  if (found.name.empty() || found.name.size() >= IFNAMSIZ) return Route::kUnknown;
  if (found.local) return Route::kHere;
  return IsPhysical(found.name) ? Route::kElsewhere : Route::kVirtual;
}

}  // namespace rss
