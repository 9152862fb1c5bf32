// Counts the datagrams of each flow, in memory of a fixed size.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <vector>

#include "core/address.h"

namespace rss {

// A flow of a server: its peer, and the address and endpoint that the peer sends to.
class FlowKey {
 public:
  FlowKey() = default;
  // The port of `local` is ignored: it is the endpoint's.
  FlowKey(const SocketAddress& peer, const SocketAddress& local, int endpoint) {
    Write(peer, 0);
    Write(local, 3);
    words_[6] = static_cast<uint64_t>(static_cast<uint32_t>(endpoint)) << 16 | peer.port();
  }

  bool operator==(const FlowKey& other) const {
    return memcmp(words_, other.words_, sizeof words_) == 0;
  }
  uint64_t Hash(uint64_t seed) const {
    uint64_t hash = seed;
    for (uint64_t word : words_) {
      hash = (hash ^ word) * 0x9e3779b97f4a7c15;
      hash ^= hash >> 32;
    }
    return hash;
  }

 private:
  void Write(const SocketAddress& from, int at) {
    SocketAddress address = from.Mapped();
    if (address.family() != AF_INET6) return;
    memcpy(&words_[at], &address.v6.sin6_addr, sizeof address.v6.sin6_addr);
    words_[at + 2] = address.v6.sin6_scope_id;
  }

  uint64_t words_[7] = {};
};

// A table of small sets. In a full set, a new flow counts all others down, and takes the place of
// one that has reached 0: flows of many datagrams stay, however many others have one each.
class FlowCounts {
 public:
  static constexpr size_t kSets = 1024;
  static constexpr size_t kFlowsOfSet = 4;

  // Peers that do not know `seed` cannot choose flows of one set.
  explicit FlowCounts(uint64_t seed) : seed_(seed), entries_(kSets * kFlowsOfSet) {}

  // Returns the number of datagrams, this one included; 0 when there is no room for the flow.
  uint32_t Add(const FlowKey& key) {
    Entry* set = SetOf(key);
    Entry* free = nullptr;
    for (Entry* entry = set; entry != set + kFlowsOfSet; ++entry) {
      if (entry->count > 0 && entry->key == key) return ++entry->count;
      if (entry->count == 0) free = entry;
    }
    if (free == nullptr) {
      for (Entry* entry = set; entry != set + kFlowsOfSet; ++entry) --entry->count;
      return 0;
    }
    *free = {key, 1};
    return 1;
  }

  void Forget(const FlowKey& key) {
    Entry* set = SetOf(key);
    for (Entry* entry = set; entry != set + kFlowsOfSet; ++entry)
      if (entry->key == key) entry->count = 0;
  }

 private:
  struct Entry {
    FlowKey key;
    uint32_t count = 0;  // 0: the entry is free
  };

  Entry* SetOf(const FlowKey& key) {
    return &entries_[(key.Hash(seed_) >> 32) % kSets * kFlowsOfSet];
  }

  uint64_t seed_;
  std::vector<Entry> entries_;
};

}  // namespace rss
