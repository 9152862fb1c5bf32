// How native functions report failure: a value, or -errno with the name of the call that failed.
#pragma once

#include <errno.h>

#include <string>
#include <utility>

namespace rss {

struct Failure {
  int error = 0;                 // -errno; 0 means no failure
  const char* syscall = "";      // static text: "bind", "setsockopt", ...
  const char* option = nullptr;  // static text: "IP_BINDANY", ... where one is concerned
  std::string detail;            // more about the cause, for the error message
};

// The one place where errno becomes a Failure.
inline Failure LastError(const char* syscall, const char* option = nullptr) {
  return Failure{-errno, syscall, option, {}};
}

inline Failure MakeFailure(int error, const char* syscall, std::string detail = {}) {
  return Failure{-error, syscall, nullptr, std::move(detail)};
}

template <typename T>
struct [[nodiscard]] Result {
  T value{};
  Failure failure{};

  Result() = default;
  Result(T v) : value(std::move(v)) {}
  Result(Failure f) : failure(std::move(f)) {}
  bool ok() const { return failure.error == 0; }

  // The value. Valid only if ok().
  T& operator*() & { return value; }
  const T& operator*() const& { return value; }
  T&& operator*() && { return std::move(value); }
  T* operator->() { return &value; }
  const T* operator->() const { return &value; }
};

struct Nothing {};
using Status = Result<Nothing>;

}  // namespace rss
