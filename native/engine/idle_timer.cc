#include "engine/idle_timer.h"

namespace rss {

IdleTimer::IdleTimer(uv_loop_t* loop, uint64_t shortest, IdleTimerOwner* owner)
    : loop_(loop), shortest_(shortest), owner_(owner), timer_(this) {
  uv_timer_init(loop_, timer_.get());
  timer_.set_initialized();
  uv_unref(reinterpret_cast<uv_handle_t*>(timer_.get()));
}

void IdleTimer::Watch(uint32_t slot) {
  if (slot >= last_.size()) last_.resize(slot + 1);
  Touch(slot);
  ++watched_;
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(timer_.get())) == 0) Run();
}

void IdleTimer::Run() {
  uint64_t period = std::min<uint64_t>(std::max<uint64_t>(shortest_ / 4, 10), 1000);
  uv_timer_start(
      timer_.get(),
      [](uv_timer_t* timer) {
        if (timer->data != nullptr) static_cast<IdleTimer*>(timer->data)->Check();
      },
      period, 0);
}

void IdleTimer::Check() {
  uint64_t now = uv_now(loop_);
  for (uint32_t slot = 0; slot < last_.size(); ++slot) {
    uint64_t quiet = now - last_[slot];
    if (quiet >= shortest_) owner_->OnQuiet(slot, quiet);
  }
  if (watched_ > 0) Run();
}

}  // namespace rss
