// The RSS hash functions of FreeBSD's sys/net/toeplitz.c and sys/net/rss_config.c, in software.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <array>
#include <vector>

#include "core/address.h"

namespace rss {

constexpr size_t kKeySize = 40;
constexpr size_t kMaxTupleSize = 36;  // IPv6: two addresses and two ports

using RssKey = std::array<uint8_t, kKeySize>;

// Microsoft's default key, which FreeBSD uses in every version (rss_config.c).
extern const RssKey kDefaultKey;

enum class HashAlgorithm { kNaive = 1, kToeplitz = 2 };  // values of net.inet.rss.hashalgo

// The 32 bits of key that input bit number `bit` selects; bits past the key's end are zero.
uint32_t KeyWindow(const uint8_t* key, size_t key_size, size_t bit);

// Toeplitz hash of any input, bit by bit: for odd key sizes and as the reference in tests.
uint32_t ToeplitzHash(const uint8_t* key, size_t key_size, const uint8_t* data, size_t size);

// Hash input of a flow in network order: source address, destination address[, source port,
// destination port]. A v4-mapped IPv6 address hashes as IPv4. Returns the input's size: 8, 12, 32
// or 36, or 0 when the addresses are of different families.
size_t TupleBytes(const SocketAddress& source, const SocketAddress& destination, bool with_ports,
                  uint8_t out[kMaxTupleSize]);

// Hashes tuples with one key, four bits a step through a table of 4.5 KiB (288 steps of one bit
// would cost more than the system call for each datagram).
class RssHasher {
 public:
  explicit RssHasher(const RssKey& key = kDefaultKey,
                     HashAlgorithm algorithm = HashAlgorithm::kToeplitz);
  uint32_t Hash(const uint8_t* data, size_t size) const;  // size <= kMaxTupleSize

 private:
  HashAlgorithm algorithm_;
  uint32_t naive_base_ = 0;
  std::array<std::array<uint32_t, 16>, kMaxTupleSize * 2> table_;
};

}  // namespace rss
