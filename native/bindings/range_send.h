#pragma once

#include <napi.h>

#include "platform/platform.h"

namespace rss {

// noDiskIo, noCache and readAhead of an object.
void ReadFlags(Napi::Object options, FileRange* how);

}  // namespace rss
