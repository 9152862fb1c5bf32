#pragma once

#include "bindings/convert.h"

namespace rss {

// FileFlags of lib/native.ts.
inline void ReadFileFlags(Napi::Object options, FileRange* how) {
  how->no_disk_io = BoolFromJs(options.Get("noDiskIo"));
  how->no_cache = BoolFromJs(options.Get("noCache"));
  how->read_ahead = IntFromJs(options.Get("readAhead"));
}

}  // namespace rss
