#pragma once

#include <napi.h>

namespace rss {

class StreamEngine;

// The engine of a StreamEngine object, or null for undefined.
StreamEngine* StreamEngineFromJs(Napi::Value value);

}  // namespace rss
