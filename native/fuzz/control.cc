// Control messages of any form: nothing outside them is read, and the loop ends.
#include <string.h>

#include <vector>

#include "platform/platform.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rss;
  // In memory of exactly this size, aligned as the kernel's is.
  std::vector<long> buffer((size + sizeof(long) - 1) / sizeof(long));
  if (size > 0) memcpy(buffer.data(), data, size);
  msghdr message{};
  message.msg_control = buffer.data();
  message.msg_controllen = static_cast<decltype(message.msg_controllen)>(size);
  DatagramInfo info = ParseControl(message);
  if (info.has_destination && info.destination.family() != AF_INET &&
      info.destination.family() != AF_INET6)
    __builtin_trap();
  return 0;
}
