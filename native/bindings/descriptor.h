#pragma once

#include <napi.h>

#include "core/unique_fd.h"

namespace rss {

// A descriptor that JavaScript owns. close(), the garbage collector or the end of the environment
// closes it, unless release() has returned its number.
Napi::Value ToJs(Napi::Env env, UniqueFd fd);

void RegisterDescriptor(Napi::Env env);

}  // namespace rss
