// How often and how long the calling thread has waited for an OwnerLock.
#pragma once

namespace rss {

struct LockWaits {
  double count = 0;
  double us = 0;
};

inline LockWaits& LockWaitsOfThread() {
  static thread_local LockWaits waits;
  return waits;
}

}  // namespace rss
