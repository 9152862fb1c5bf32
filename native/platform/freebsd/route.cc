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
#include <unistd.h>

#include <atomic>

#include "platform/platform.h"

namespace rss {
namespace {

constexpr int kAnswerMs = 20;

struct RouteMessage {
  rt_msghdr header;
  uint8_t addresses[512];
};

// The interface of the route to `peer`: its name, or "" when that is not told. `*local`: the
// address is this host's own.
std::string InterfaceTo(const SocketAddress& peer, bool* local) {
  UniqueFd fd(socket(PF_ROUTE, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd) return "";
  RouteMessage message{};
  message.header.rtm_version = RTM_VERSION;
  message.header.rtm_type = RTM_GET;
  message.header.rtm_addrs = RTA_DST | RTA_IFP;
  message.header.rtm_pid = getpid();
  // Answers go to every routing socket: those of other threads are not ours.
  static std::atomic<int> sequence{0};
  int number = ++sequence;
  message.header.rtm_seq = number;
  // Its length says where the next begins; ours have none, as other systems know nothing of it.
  SocketAddress destination = peer;
  destination.sa.sa_len = static_cast<uint8_t>(peer.length());
  memcpy(message.addresses, &destination.sa, peer.length());
  size_t at = SA_SIZE(&destination.sa);
  sockaddr_dl wanted{};
  wanted.sdl_len = sizeof wanted;
  wanted.sdl_family = AF_LINK;
  memcpy(message.addresses + at, &wanted, sizeof wanted);
  message.header.rtm_msglen = static_cast<u_short>(sizeof message.header + at +
                                                   SA_SIZE(reinterpret_cast<sockaddr*>(&wanted)));
  if (write(fd.get(), &message, message.header.rtm_msglen) < 0) return "";
  // The answer comes by way of a netisr thread, so perhaps in a moment; those to everybody arrive
  // here too, and a few of them are looked at.
  for (int i = 0; i < 16; ++i) {
    pollfd answer{fd.get(), POLLIN, 0};
    if (poll(&answer, 1, kAnswerMs) != 1) return "";
    ssize_t got = recv(fd.get(), &message, sizeof message, MSG_DONTWAIT);
    if (got < static_cast<ssize_t>(sizeof message.header)) return "";
    if (message.header.rtm_pid == getpid() && message.header.rtm_seq == number) break;
    if (i == 15) return "";
  }
  if (message.header.rtm_errno != 0) return "";
  *local = (message.header.rtm_flags & RTF_LOCAL) != 0;
  const uint8_t* next = message.addresses;
  const uint8_t* end = reinterpret_cast<uint8_t*>(&message) + message.header.rtm_msglen;
  for (int bit = 1; bit != 0 && bit <= RTA_IFP && next < end; bit <<= 1) {
    if ((message.header.rtm_addrs & bit) == 0) continue;
    auto* address = reinterpret_cast<const sockaddr*>(next);
    if (bit == RTA_IFP && address->sa_family == AF_LINK) {
      auto* link = reinterpret_cast<const sockaddr_dl*>(address);
      return std::string(link->sdl_data, link->sdl_nlen);
    }
    next += SA_SIZE(address);
  }
  return "";
}

// Whether a device of this name, em0, is attached to a bus: dev.em.0.%parent.
bool HasDevice(const std::string& name) {
  size_t unit = name.find_last_not_of("0123456789") + 1;
  if (unit == 0 || unit == name.size()) return false;
  std::string parent = "dev." + name.substr(0, unit) + "." + name.substr(unit) + ".%parent";
  size_t length = 0;
  return sysctlbyname(parent.c_str(), nullptr, &length, nullptr, 0) == 0;
}

}  // namespace

// Interfaces that the kernel makes on request (lo, epair, bridge, tap, vlan, lagg) are in the group
// of their kind; a physical one is in "all" alone. So are those of ng_eiface(4), which are no
// devices.
Route RouteTo(const SocketAddress& address) {
  SocketAddress peer = address.Unmapped();
  if (peer.family() != AF_INET && peer.family() != AF_INET6) return Route::kUnknown;
  bool local = false;
  std::string name = InterfaceTo(peer, &local);
  if (name.empty() || name.size() >= IFNAMSIZ) return Route::kUnknown;
  if (local) return Route::kHere;
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifg_req groups[8] = {};
  ifgroupreq request{};
  memcpy(request.ifgr_name, name.c_str(), name.size());
  request.ifgr_len = sizeof groups;
  request.ifgr_groups = groups;
  if (!fd || ioctl(fd.get(), SIOCGIFGROUP, &request) != 0) return Route::kUnknown;
  size_t count = request.ifgr_len / sizeof groups[0];
  bool physical = count == 1 && strcmp(groups[0].ifgrq_group, IFG_ALL) == 0 && HasDevice(name);
  return physical ? Route::kElsewhere : Route::kHere;
}

}  // namespace rss
