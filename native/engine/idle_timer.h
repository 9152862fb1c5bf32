// Finds connections that have been quiet for a while.
#pragma once

#include <algorithm>
#include <vector>

#include "engine/handle.h"

namespace rss {

class IdleTimerOwner {
 public:
  virtual ~IdleTimerOwner() = default;
  // The connection in this slot, if there is one, has been quiet for `quiet` milliseconds.
  virtual void OnQuiet(uint32_t slot, uint64_t quiet) = 0;
};

class IdleTimer {
 public:
  // Calls OnQuiet() about `shortest` milliseconds after the last Touch(), then repeatedly.
  IdleTimer(uv_loop_t* loop, uint64_t shortest, IdleTimerOwner* owner);

  // The timer runs while connections are watched.
  void Watch(uint32_t slot);
  void Unwatch() { --watched_; }
  // OnQuiet() has to be called after this time, too.
  void Shorten(uint64_t milliseconds) { shortest_ = std::min(shortest_, milliseconds); }
  void Touch(uint32_t slot) { last_[slot] = uv_now(loop_); }
  void Close() { timer_.Close(); }

 private:
  void Run();
  void Check();

  uv_loop_t* loop_;
  uint64_t shortest_;
  IdleTimerOwner* owner_;
  Handle<uv_timer_t> timer_;
  std::vector<uint64_t> last_;  // by slot: uv_now() of the last Touch()
  size_t watched_ = 0;
};

}  // namespace rss
