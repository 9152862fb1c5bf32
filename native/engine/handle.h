// A libuv handle whose memory outlives its owner until libuv has closed it.
#pragma once

#include <uv.h>

#include "core/result.h"

namespace rss {

inline Failure UvFailure(int error, const char* call) {
  return Failure{error, call, nullptr, {}};
}

// H: uv_poll_t, uv_async_t, ... handle->data points to the owner. It is null after Close().
template <typename H>
class Handle {
 public:
  explicit Handle(void* owner) : handle_(new H) { handle_->data = owner; }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { Close(); }

  H* get() { return handle_; }
  H* operator->() { return handle_; }

  // The caller's uv_*_init() has succeeded, so libuv must close the handle.
  void set_initialized() { initialized_ = true; }

  // Closes the handle and begins another one.
  void Renew(void* owner) {
    Close();
    handle_ = new H;
    handle_->data = owner;
    initialized_ = false;
  }

  void Close() {
    if (handle_ == nullptr) return;
    handle_->data = nullptr;
    if (initialized_)
      uv_close(reinterpret_cast<uv_handle_t*>(handle_),
               [](uv_handle_t* h) { delete reinterpret_cast<H*>(h); });
    else
      delete handle_;
    handle_ = nullptr;
  }

 private:
  H* handle_;
  bool initialized_ = false;
};

}  // namespace rss
