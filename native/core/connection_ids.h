// Ids of connections: a slot, which indexes tables, and a generation, so that output for a closed
// connection does not reach the next one in its slot.
#pragma once

#include <stdint.h>

#include <deque>
#include <vector>

namespace rss {

class ConnectionIds {
 public:
  // 31 bits in all: small integers for V8.
  static constexpr uint32_t kSlotBits = 20;
  static constexpr uint32_t kGenerationBits = 11;
  static constexpr uint32_t kSlots = 1u << kSlotBits;
  // A slot is reused only after this many others have been freed. With the generations, a write
  // would have to be 64 * 2,047 connections late to reach the wrong one.
  static constexpr size_t kResting = 64;

  static constexpr uint32_t SlotOf(uint32_t id) { return id & (kSlots - 1); }

  // Returns an id, or 0 when every slot is taken. No id is 0.
  uint32_t Allocate() {
    uint32_t slot;
    if (free_.size() > kResting || generations_.size() == kSlots) {
      if (free_.empty()) return 0;
      slot = free_.front();
      free_.pop_front();
    } else {
      slot = static_cast<uint32_t>(generations_.size());
      generations_.push_back(1);
    }
    return static_cast<uint32_t>(generations_[slot]) << kSlotBits | slot;
  }

  void Free(uint32_t id) {
    uint32_t slot = SlotOf(id);
    generations_[slot] =
        static_cast<uint16_t>(generations_[slot] % ((1u << kGenerationBits) - 1) + 1);
    free_.push_back(slot);
  }

  // True until the id is freed.
  bool IsAllocated(uint32_t id) const {
    uint32_t slot = SlotOf(id);
    return slot < generations_.size() && generations_[slot] == id >> kSlotBits;
  }
  // False for a number that Allocate() has never returned; true for some of those, too.
  bool MayBeKnown(uint32_t id) const {
    return id >> kSlotBits != 0 && SlotOf(id) < generations_.size();
  }

 private:
  std::vector<uint16_t> generations_;  // by slot: of the present id, or of the next
  std::deque<uint32_t> free_;          // first in, first out
};

}  // namespace rss
