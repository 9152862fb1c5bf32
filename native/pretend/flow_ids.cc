// A network card for tests: TCP connections have flow ids, by a key that differs from the default.
// test/helpers/pretend-addon.ts links it in front of the platform's GetKernelFlow().
#include "core/hash_type.h"
#include "core/toeplitz.h"
#include "platform/platform.h"
#include "platform/posix/stream.h"

namespace rss {

// The name that the linker's --wrap gives to the replacement.
Result<KernelFlow> PretendedFlow(int fd) __asm__("__wrap__ZN3rss13GetKernelFlowEi");

Result<KernelFlow> PretendedFlow(int fd) {
  RssKey key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(37 * i + 11);
  SocketAddress local, peer;
  Status status = ConnectionAddresses(fd, &local, &peer);
  if (!status.ok()) return status.failure;
  uint8_t tuple[kMaxTupleSize];
  size_t size = TupleBytes(peer, local, true, tuple);
  return KernelFlow{RssHasher(key).Hash(tuple, size), HashTypeOf(true, size <= 12, true)};
}

}  // namespace rss
