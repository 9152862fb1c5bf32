// Shared by the bindings of the engines: memory lent by JavaScript, and calls into JavaScript.
#pragma once

#include "bindings/convert.h"

namespace rss {

// A typed array that a native object keeps alive.
template <typename T>
struct View {
  Napi::Reference<Napi::TypedArray> reference;
  T* data = nullptr;
  size_t length = 0;

  // False when the value is no typed array, or too short.
  bool Hold(Napi::Value value, size_t least) {
    auto elements = ElementsFromJs<T>(value);
    data = elements.data;
    length = elements.length;
    if (data == nullptr || length < least) return false;
    reference = Napi::Persistent(value.As<Napi::TypedArray>());
    return true;
  }
  // The current length: 0 once the memory has been transferred.
  size_t Length() const {
    Napi::HandleScope scope(reference.Env());
    return reference.Value().ElementLength();
  }
};

// Calls JavaScript from the event loop, with microtasks and async hooks around each call.
class Callback {
 public:
  Callback(Napi::Env env, const char* name) : env_(env), context_(env, name) {}

  // False when JavaScript cannot run any more. An exception of the user's code becomes an
  // 'uncaughtException', and the result is true if the thread lives on.
  bool Call(const Napi::FunctionReference& function);
  bool Call(const Napi::FunctionReference& function, double argument);
  bool Call(const Napi::FunctionReference& function, double first, double second);

 private:
  bool Call(const Napi::FunctionReference& function, const double* arguments, size_t count);
  bool Report();

  napi_env env_;
  Napi::AsyncContext context_;
};

}  // namespace rss
