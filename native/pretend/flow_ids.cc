// A network card for tests: TCP connections and datagrams to wildcard sockets have flow ids, by a
// key that differs from the default. test/helpers/pretend-addon.ts links these functions in front
// of the platform's.
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/hash_type.h"
#include "core/toeplitz.h"
#include "platform/platform.h"
#include "platform/posix/stream.h"

namespace rss {

// The names that the linker's --wrap gives to the replacements, and to what they replace.
Result<KernelFlow> PretendedFlow(int fd) __asm__("__wrap__ZN3rss13GetKernelFlowEi");
DatagramInfo PretendedInfo(const msghdr&) __asm__("__wrap__ZN3rss12ParseControlERK6msghdr");
DatagramInfo RealInfo(const msghdr&) __asm__("__real__ZN3rss12ParseControlERK6msghdr");
size_t PretendedReply(const SocketAddress*, const SocketAddress&, const KernelFlow&, void*) __asm__(
    "__wrap__ZN3rss17BuildReplyControlEPKNS_13SocketAddressERS1_RKNS_10KernelFlowEPv");
size_t RealReply(const SocketAddress*, const SocketAddress&, const KernelFlow&, void*) __asm__(
    "__real__ZN3rss17BuildReplyControlEPKNS_13SocketAddressERS1_RKNS_10KernelFlowEPv");

static KernelFlow HashedBy(bool tcp, const SocketAddress& peer, const SocketAddress& local) {
  RssKey key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(37 * i + 11);
  uint8_t tuple[kMaxTupleSize];
  size_t size = TupleBytes(peer, local, tcp, tuple);
  return {RssHasher(key).Hash(tuple, size), HashTypeOf(tcp, size <= 12, tcp)};
}

Result<KernelFlow> PretendedFlow(int fd) {
  SocketAddress local, peer;
  Status status = ConnectionAddresses(fd, &local, &peer);
  if (!status.ok()) return status.failure;
  return HashedBy(true, peer, local);
}

DatagramInfo PretendedInfo(const msghdr& message) {
  DatagramInfo info = RealInfo(message);
  if (info.has_destination && message.msg_name != nullptr)
    info.flow =
        HashedBy(false, *static_cast<const SocketAddress*>(message.msg_name), info.destination);
  return info;
}

// Writes '=' for each reply with the flow of what it answers, and '!' for others.
size_t PretendedReply(const SocketAddress* source, const SocketAddress& peer,
                      const KernelFlow& flow, void* buffer) {
  static const char* path = getenv("RSS_PRETENDED_REPLIES");
  static int file = path == nullptr ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
  if (file >= 0 && source != nullptr) {
    KernelFlow expected = HashedBy(false, peer, *source);
    bool same = flow.flow_id == expected.flow_id && flow.hash_type == expected.hash_type;
    (void)!write(file, same ? "=" : "!", 1);
  }
  return RealReply(source, peer, flow, buffer);
}

}  // namespace rss
