#pragma once

#include <napi.h>

#include "core/rss_config.h"

namespace rss {

Napi::Value ToJs(Napi::Env env, const RssConfig& config);
RssConfig RssConfigFromJs(Napi::Object object);

}  // namespace rss
