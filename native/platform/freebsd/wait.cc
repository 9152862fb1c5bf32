// _umtx_op(2) in its process-shared form: another process may have mapped the memory.
#include <sys/types.h>
// sys/umtx.h needs sys/types.h first
#include <sys/umtx.h>
#include <time.h>

#include "platform/platform.h"

namespace rss {

int WaitOnAddress(uint32_t* address, uint32_t expected, int timeout_ms) {
  timespec timeout{timeout_ms / 1000, (timeout_ms % 1000) * 1000000L};
  // uaddr carries the size of the timeout, uaddr2 the timeout itself.
  int r = _umtx_op(address, UMTX_OP_WAIT_UINT, expected, reinterpret_cast<void*>(sizeof timeout),
                   &timeout);
  if (r == 0 || errno == EINTR) return 0;
  return -errno;
}

int WakeAddress(uint32_t* address, int count) {
  int r = _umtx_op(address, UMTX_OP_WAKE, static_cast<unsigned long>(count), nullptr, nullptr);
  return r < 0 ? -errno : 0;
}

}  // namespace rss
