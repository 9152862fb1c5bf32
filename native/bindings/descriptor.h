#pragma once

#include <napi.h>

#include "core/unique_fd.h"

namespace rss {

// An owned descriptor in JavaScript: closed by close(), by the garbage collector or with the
// environment, unless release() has given its number away.
Napi::Value ToJs(Napi::Env env, UniqueFd fd);

void RegisterDescriptor(Napi::Env env);

}  // namespace rss
