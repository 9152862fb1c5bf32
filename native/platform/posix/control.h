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

// The payload, zero where the message is too short for one.
template <typename T>
T ReadControl(cmsghdr* header) {
  T payload{};
  if (header->cmsg_len >= CMSG_LEN(sizeof payload))
    memcpy(&payload, CMSG_DATA(header), sizeof payload);
  return payload;
}

}  // namespace rss
