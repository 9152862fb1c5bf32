// Where packets to a peer leave: rtnetlink(7).
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "platform/linux/netlink.h"
#include "platform/platform.h"

namespace rss {
namespace {

constexpr int kParentDevice = 56;  // IFLA_PARENT_DEV_NAME, Linux 5.14

}  // namespace

Route RouteTo(const SocketAddress& address, int) {
  SocketAddress peer = address.Unmapped();
  if (peer.family() != AF_INET && peer.family() != AF_INET6) return Route::kUnknown;
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return Route::kUnknown;
  alignas(nlmsghdr) uint8_t buffer[16 * 1024];

  NetlinkRequest<rtmsg> route(RTM_GETROUTE, 0);
  route.body.rtm_family = static_cast<uint8_t>(peer.family());
  bool v4 = peer.family() == AF_INET;
  route.body.rtm_dst_len = v4 ? 32 : 128;
  if (v4)
    route.Add(RTA_DST, &peer.v4.sin_addr, sizeof peer.v4.sin_addr);
  else
    route.Add(RTA_DST, &peer.v6.sin6_addr, sizeof peer.v6.sin6_addr);
  if (!v4 && peer.v6.sin6_scope_id != 0)
    route.Add(RTA_OIF, &peer.v6.sin6_scope_id, sizeof peer.v6.sin6_scope_id);
  const nlmsghdr* answer = AskNetlink(fd.get(), route, buffer, sizeof buffer);
  if (answer == nullptr || answer->nlmsg_type != RTM_NEWROUTE) return Route::kUnknown;
  auto type = static_cast<const rtmsg*>(NLMSG_DATA(answer))->rtm_type;
  if (type != RTN_UNICAST) return type == RTN_LOCAL ? Route::kHere : Route::kUnknown;
  const void* index = FindAttribute<rtmsg>(answer, RTA_OIF);
  if (index == nullptr) return Route::kUnknown;

  // A physical device has a parent, on its bus. A virtual one has a kind.
  NetlinkRequest<ifinfomsg> link(RTM_GETLINK, 0);
  memcpy(&link.body.ifi_index, index, sizeof link.body.ifi_index);
  answer = AskNetlink(fd.get(), link, buffer, sizeof buffer);
  if (answer == nullptr || answer->nlmsg_type != RTM_NEWLINK) return Route::kUnknown;
  bool physical = FindAttribute<ifinfomsg>(answer, kParentDevice) != nullptr &&
                  FindAttribute<ifinfomsg>(answer, IFLA_LINKINFO) == nullptr;
  return physical ? Route::kElsewhere : Route::kVirtual;
}

}  // namespace rss
