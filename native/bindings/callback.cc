#include "bindings/callback.h"

namespace rss {

bool Callback::Call(const Napi::FunctionReference& function) {
  return Call(function, nullptr, 0);
}

bool Callback::Call(const Napi::FunctionReference& function, double argument) {
  return Call(function, &argument, 1);
}

bool Callback::Call(const Napi::FunctionReference& function, double first, double second) {
  double arguments[] = {first, second};
  return Call(function, arguments, 2);
}

// Uses raw Node-API calls: they fail while an environment is being torn down, which is no error
// here. `this` must be an object, and the callbacks ignore it.
bool Callback::Call(const Napi::FunctionReference& function, const double* arguments,
                    size_t count) {
  napi_handle_scope scope;
  if (napi_open_handle_scope(env_, &scope) != napi_ok) return false;
  napi_value callback = function.Value(), returned, values[2];
  bool alive = true;
  for (size_t i = 0; i < count && alive; ++i)
    alive = napi_create_double(env_, arguments[i], &values[i]) == napi_ok;
  if (alive) {
    napi_status status =
        napi_make_callback(env_, context_, callback, callback, count, values, &returned);
    if (status != napi_ok) alive = Report();
  }
  napi_close_handle_scope(env_, scope);
  return alive;
}

bool Callback::Report() {
  bool pending = false;
  napi_value error;
  if (napi_is_exception_pending(env_, &pending) != napi_ok || !pending) return false;
  if (napi_get_and_clear_last_exception(env_, &error) != napi_ok) return false;
  return napi_fatal_exception(env_, error) == napi_ok;
}

}  // namespace rss
