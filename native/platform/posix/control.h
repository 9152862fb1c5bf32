// Control messages (cmsg(3)) with one payload.
#pragma once

#include <string.h>
#include <sys/types.h>
// sys/socket.h's CMSG macros need sys/types.h on FreeBSD
#include <sys/socket.h>

namespace rss {

// Writes one message to the buffer; returns the space it takes.
template <typename T>
size_t WriteControl(void* buffer, int level, int type, const T& payload) {
  auto* header = static_cast<cmsghdr*>(buffer);
  memset(buffer, 0, CMSG_SPACE(sizeof payload));
  header->cmsg_level = level;
  header->cmsg_type = type;
  header->cmsg_len = CMSG_LEN(sizeof payload);
  memcpy(CMSG_DATA(header), &payload, sizeof payload);
  return CMSG_SPACE(sizeof payload);
}

struct ControlMessage {
  int level, type;
  const void* payload;
  size_t length;

  // The payload, zero where the message is too short for one.
  template <typename T>
  T Read() const {
    T out{};
    if (length >= sizeof out) memcpy(&out, payload, sizeof out);
    return out;
  }
};

// Calls `visit` for each message that lies within the buffer. On FreeBSD, CMSG_NXTHDR() alone would
// never get past a message of length 0.
template <typename F>
void ForEachControl(const msghdr& message, F visit) {
  auto* end = static_cast<const unsigned char*>(message.msg_control) + message.msg_controllen;
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr && c->cmsg_len >= CMSG_LEN(0);
       c = CMSG_NXTHDR(const_cast<msghdr*>(&message), c)) {
    const unsigned char* payload = CMSG_DATA(c);
    if (payload > end) return;
    size_t length = static_cast<size_t>(c->cmsg_len) - CMSG_LEN(0);
    size_t room = static_cast<size_t>(end - payload);
    visit(ControlMessage{c->cmsg_level, c->cmsg_type, payload, length < room ? length : room});
  }
}

}  // namespace rss
