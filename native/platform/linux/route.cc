// Where packets to a peer leave: rtnetlink(7).
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "platform/platform.h"

namespace rss {
namespace {

constexpr int kParentDevice = 56;  // IFLA_PARENT_DEV_NAME, Linux 5.14

template <typename Body>
struct Request {
  nlmsghdr header{};
  Body body{};
  uint8_t attributes[32] = {};

  Request(uint16_t type, uint16_t flags) {
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    header.nlmsg_len = NLMSG_LENGTH(sizeof body);
  }
  void Add(uint16_t type, const void* bytes, size_t size) {
    rtattr attribute{static_cast<uint16_t>(RTA_LENGTH(size)), type};
    uint8_t* at = attributes + (header.nlmsg_len - NLMSG_LENGTH(sizeof body));
    memcpy(at, &attribute, sizeof attribute);
    memcpy(at + RTA_LENGTH(0), bytes, size);
    header.nlmsg_len += RTA_SPACE(size);
  }
};

// The first message of the answer, or null. The kernel answers before send(2) returns.
template <typename Body>
const nlmsghdr* Ask(int fd, const Request<Body>& request, uint8_t* buffer, size_t size) {
  if (send(fd, &request, request.header.nlmsg_len, 0) < 0) return nullptr;
  ssize_t got = recv(fd, buffer, size, MSG_DONTWAIT);
  auto* answer = reinterpret_cast<const nlmsghdr*>(buffer);
  if (got < 0 || !NLMSG_OK(answer, static_cast<size_t>(got)) || answer->nlmsg_type == NLMSG_ERROR)
    return nullptr;
  return answer;
}

template <typename Body>
const void* Find(const nlmsghdr* message, int wanted) {
  auto* body = static_cast<const uint8_t*>(NLMSG_DATA(message));
  auto* attribute = reinterpret_cast<const rtattr*>(body + NLMSG_ALIGN(sizeof(Body)));
  int left = static_cast<int>(message->nlmsg_len - NLMSG_SPACE(sizeof(Body)));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
    if ((attribute->rta_type & NLA_TYPE_MASK) == wanted) return RTA_DATA(attribute);
  return nullptr;
}

}  // namespace

Route RouteTo(const SocketAddress& address, int) {
  SocketAddress peer = address.Unmapped();
  if (peer.family() != AF_INET && peer.family() != AF_INET6) return Route::kUnknown;
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) return Route::kUnknown;
  alignas(nlmsghdr) uint8_t buffer[16 * 1024];

  Request<rtmsg> route(RTM_GETROUTE, 0);
  route.body.rtm_family = static_cast<uint8_t>(peer.family());
  bool v4 = peer.family() == AF_INET;
  route.body.rtm_dst_len = v4 ? 32 : 128;
  if (v4)
    route.Add(RTA_DST, &peer.v4.sin_addr, sizeof peer.v4.sin_addr);
  else
    route.Add(RTA_DST, &peer.v6.sin6_addr, sizeof peer.v6.sin6_addr);
  if (!v4 && peer.v6.sin6_scope_id != 0)
    route.Add(RTA_OIF, &peer.v6.sin6_scope_id, sizeof peer.v6.sin6_scope_id);
  const nlmsghdr* answer = Ask(fd.get(), route, buffer, sizeof buffer);
  if (answer == nullptr || answer->nlmsg_type != RTM_NEWROUTE) return Route::kUnknown;
  auto type = static_cast<const rtmsg*>(NLMSG_DATA(answer))->rtm_type;
  if (type != RTN_UNICAST) return type == RTN_LOCAL ? Route::kHere : Route::kUnknown;
  const void* index = Find<rtmsg>(answer, RTA_OIF);
  if (index == nullptr) return Route::kUnknown;

  // A physical device has a parent, on its bus. A virtual one has a kind.
  Request<ifinfomsg> link(RTM_GETLINK, 0);
  memcpy(&link.body.ifi_index, index, sizeof link.body.ifi_index);
  answer = Ask(fd.get(), link, buffer, sizeof buffer);
  if (answer == nullptr || answer->nlmsg_type != RTM_NEWLINK) return Route::kUnknown;
  bool physical = Find<ifinfomsg>(answer, kParentDevice) != nullptr &&
                  Find<ifinfomsg>(answer, IFLA_LINKINFO) == nullptr;
  return physical ? Route::kElsewhere : Route::kHere;
}

}  // namespace rss
