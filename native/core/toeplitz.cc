#include "core/toeplitz.h"

#include <string.h>

namespace rss {

const RssKey kDefaultKey = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                            0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                            0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                            0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

uint32_t KeyWindow(const uint8_t* key, size_t key_size, size_t bit) {
  uint64_t window = 0;
  for (size_t i = 0; i < 5; ++i) {
    size_t at = bit / 8 + i;
    window = window << 8 | (at < key_size ? key[at] : 0);
  }
  return static_cast<uint32_t>(window >> (8 - bit % 8));
}

uint32_t ToeplitzHash(const uint8_t* key, size_t key_size, const uint8_t* data, size_t size) {
  uint32_t hash = 0;
  for (size_t bit = 0; bit < size * 8; ++bit)
    if (data[bit / 8] & (0x80 >> bit % 8)) hash ^= KeyWindow(key, key_size, bit);
  return hash;
}

size_t TupleBytes(const SocketAddress& source, const SocketAddress& destination, bool with_ports,
                  uint8_t out[kMaxTupleSize]) {
  if (source.family() == AF_INET && destination.family() == AF_INET) {
    memcpy(out, &source.v4.sin_addr, 4);
    memcpy(out + 4, &destination.v4.sin_addr, 4);
    if (!with_ports) return 8;
    memcpy(out + 8, &source.v4.sin_port, 2);
    memcpy(out + 10, &destination.v4.sin_port, 2);
    return 12;
  }
  SocketAddress from = source.Unmapped(), to = destination.Unmapped();
  if (from.family() != to.family()) return 0;
  bool v4 = from.family() == AF_INET;
  size_t size = v4 ? 4 : 16;
  memcpy(out, v4 ? static_cast<void*>(&from.v4.sin_addr) : &from.v6.sin6_addr, size);
  memcpy(out + size, v4 ? static_cast<void*>(&to.v4.sin_addr) : &to.v6.sin6_addr, size);
  size *= 2;
  if (!with_ports) return size;
  uint16_t ports[2] = {htons(from.port()), htons(to.port())};
  memcpy(out + size, ports, sizeof ports);
  return size + sizeof ports;
}

RssHasher::RssHasher(const RssKey& key, HashAlgorithm algorithm) : algorithm_(algorithm) {
  for (uint8_t byte : key) naive_base_ += byte;
  for (size_t nibble = 0; nibble < table_.size(); ++nibble)
    for (size_t value = 0; value < 16; ++value) {
      uint32_t hash = 0;
      for (size_t bit = 0; bit < 4; ++bit)
        if (value & (8u >> bit)) hash ^= KeyWindow(key.data(), key.size(), nibble * 4 + bit);
      table_[nibble][value] = hash;
    }
}

uint32_t RssHasher::Hash(const uint8_t* data, size_t size) const {
  if (size > kMaxTupleSize) size = kMaxTupleSize;
  if (algorithm_ == HashAlgorithm::kNaive) {  // rss_naive_hash(): the sum of key and data
    uint32_t sum = naive_base_;
    for (size_t i = 0; i < size; ++i) sum += data[i];
    return sum;
  }
  uint32_t hash = 0;
  for (size_t i = 0; i < size; ++i)
    hash ^= table_[i * 2][data[i] >> 4] ^ table_[i * 2 + 1][data[i] & 15];
  return hash;
}

}  // namespace rss
