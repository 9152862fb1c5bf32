#include <sys/mman.h>

#include "platform/platform.h"

namespace rss {

Result<UniqueFd> CreateAnonymousShm() {
  UniqueFd fd(memfd_create("freebsd-rss", MFD_CLOEXEC));
  if (!fd) return LastError("memfd_create");
  return fd;
}

}  // namespace rss
