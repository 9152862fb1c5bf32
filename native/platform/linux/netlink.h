// Questions to the kernel by netlink(7), and their answers.
#pragma once

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

namespace rss {

template <typename Body>
struct NetlinkRequest {
  nlmsghdr header{};
  Body body{};
  uint8_t attributes[32] = {};

  NetlinkRequest(uint16_t type, uint16_t flags) {
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
const nlmsghdr* AskNetlink(int fd, const NetlinkRequest<Body>& request, uint8_t* buffer,
                           size_t size) {
  if (send(fd, &request, request.header.nlmsg_len, 0) < 0) return nullptr;
  ssize_t got = recv(fd, buffer, size, MSG_DONTWAIT);
  auto* answer = reinterpret_cast<const nlmsghdr*>(buffer);
  if (got < 0 || !NLMSG_OK(answer, static_cast<size_t>(got)) || answer->nlmsg_type == NLMSG_ERROR)
    return nullptr;
  return answer;
}

// The value of the attribute behind a message's body, or null.
template <typename Body>
const void* FindAttribute(const nlmsghdr* message, int wanted) {
  auto* body = static_cast<const uint8_t*>(NLMSG_DATA(message));
  auto* attribute = reinterpret_cast<const rtattr*>(body + NLMSG_ALIGN(sizeof(Body)));
  int left = static_cast<int>(message->nlmsg_len - NLMSG_SPACE(sizeof(Body)));
  for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
    if ((attribute->rta_type & NLA_TYPE_MASK) == wanted) return RTA_DATA(attribute);
  return nullptr;
}

}  // namespace rss
