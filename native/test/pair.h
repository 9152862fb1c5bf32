// A connection of which a test has both ends.
#pragma once

#include <functional>
#include <string>

#include "core/unique_fd.h"

namespace rss_test {

struct Pair {
  rss::UniqueFd sender, receiver;
};

// A loopback connection, or a Unix one.
Pair Connect(bool local);
// Receives `size` bytes, or less when no more come.
std::string ReadAll(int fd, size_t size);
// Sends to a receiver that does not read until it has no more room. Returns the bytes sent.
size_t Fill(const Pair& pair);

// Milliseconds of a clock that never goes back.
double NowMs();
// Waits until a condition is true, kPatienceMs at most.
bool ComesTrue(const std::function<bool()>& condition);

}  // namespace rss_test
