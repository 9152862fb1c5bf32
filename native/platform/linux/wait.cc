// futex(2) in its process-shared form: another process may have mapped the memory.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>

#include "platform/platform.h"

namespace rss {

int WaitOnAddress(uint32_t* address, uint32_t expected, int timeout_ms) {
  timespec timeout{timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};
  long r = syscall(SYS_futex, address, FUTEX_WAIT, expected, &timeout, nullptr, 0);
  if (r == 0 || errno == EAGAIN || errno == EINTR) return 0;
  return -errno;
}

int WakeAddress(uint32_t* address, int count) {
  long r = syscall(SYS_futex, address, FUTEX_WAKE, count, nullptr, nullptr, 0);
  return r < 0 ? -errno : 0;
}

}  // namespace rss
