#include <fcntl.h>
#include <sys/mman.h>

#include "platform/platform.h"

namespace rss {

// shm_open(2): SHM_ANON is the one name that capability mode allows too.
Result<UniqueFd> CreateAnonymousShm() {
  UniqueFd fd(shm_open(SHM_ANON, O_RDWR | O_CLOEXEC, 0600));
  if (!fd) return LastError("shm_open");
  return fd;
}

}  // namespace rss
