#include "engine/openssl.h"

#include <uv.h>

#include <memory>

namespace rss {

const OpenSsl* FindOpenSsl() {
  static const std::unique_ptr<const OpenSsl> found = []() -> std::unique_ptr<const OpenSsl> {
    uv_lib_t program;
    if (uv_dlopen(nullptr, &program) != 0) return nullptr;  // the program and its libraries
    auto functions = std::make_unique<OpenSsl>();
    bool complete = true;
#define RSS_FIND(Returned, name, ...) \
  complete = complete && uv_dlsym(&program, #name, reinterpret_cast<void**>(&functions->name)) == 0;
    RSS_OPENSSL(RSS_FIND)
#undef RSS_FIND
    if (!complete) return nullptr;
    return functions;
  }();
  return found.get();
}

}  // namespace rss
