#include "core/datagram_ring.h"

#include <string.h>

#include <new>
#include <type_traits>
#include <utility>

namespace rss {
namespace {

constexpr size_t kLongestPayload = 65535;

constexpr size_t BlocksOf(size_t payload) {
  return (sizeof(ForwardedDatagram) + payload + DatagramRing::kBlockSize - 1) /
         DatagramRing::kBlockSize;
}

constexpr size_t IndexOf(uint64_t position) {
  return static_cast<size_t>(position % DatagramRing::kBlocks);
}

// A datagram that begins in the last block continues behind it, not in the first.
constexpr size_t kAllBlocks = DatagramRing::kBlocks + BlocksOf(kLongestPayload) - 1;

static_assert(BlocksOf(kLongestPayload) <= DatagramRing::kBlocks, "the longest one fits");
static_assert(std::is_trivially_copyable<ForwardedDatagram>::value, "blocks are not destroyed");

}  // namespace

// Blocks are not initialised: their pages stay untouched until they are needed.
DatagramRing::DatagramRing()
    : sequences_(new std::atomic<uint64_t>[kBlocks]),
      blocks_(new uint8_t[kAllBlocks * kBlockSize]) {
  for (size_t i = 0; i < kBlocks; ++i) sequences_[i].store(0, std::memory_order_relaxed);
}

bool DatagramRing::Push(const ForwardedDatagram& datagram, const uint8_t* payload) {
  if (datagram.length > kLongestPayload) return false;
  const uint64_t blocks = BlocksOf(datagram.length);
  uint64_t at = tail_.load(std::memory_order_relaxed);
  do {
    // Negative when `at` is outdated, and then the exchange fails.
    auto used = static_cast<int64_t>(at + blocks - head_.load(std::memory_order_acquire));
    if (used > static_cast<int64_t>(kBlocks)) return false;
  } while (!tail_.compare_exchange_weak(at, at + blocks));
  uint8_t* record = blocks_.get() + IndexOf(at) * kBlockSize;
  new (record) ForwardedDatagram(datagram);
  if (datagram.length > 0) memcpy(record + sizeof datagram, payload, datagram.length);
  sequences_[IndexOf(at)].store(at + 1);
  length_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

size_t DatagramRing::Take(size_t most, DatagramReceiver* receiver) {
  uint64_t at = next_.load(std::memory_order_relaxed);
  size_t taken = 0;
  for (; taken < most && sequences_[IndexOf(at)].load() == at + 1; ++taken) {
    const uint8_t* record = blocks_.get() + IndexOf(at) * kBlockSize;
    const auto* datagram = std::launder(reinterpret_cast<const ForwardedDatagram*>(record));
    receiver->OnForwarded(*datagram, record + sizeof *datagram);
    at += BlocksOf(datagram->length);
  }
  if (taken == 0) return 0;
  next_.store(at, std::memory_order_relaxed);
  taken_ += taken;
  length_.fetch_sub(static_cast<int64_t>(taken), std::memory_order_relaxed);
  return taken;
}

void DatagramRing::Free() {
  taken_ = 0;
  head_.store(next_.load(std::memory_order_relaxed), std::memory_order_release);
}

void DatagramRing::Return() {
  length_.fetch_add(static_cast<int64_t>(std::exchange(taken_, 0)), std::memory_order_relaxed);
  next_.store(head_.load(std::memory_order_relaxed), std::memory_order_relaxed);
}

bool DatagramRing::empty() const {
  uint64_t at = next_.load(std::memory_order_relaxed);
  return sequences_[IndexOf(at)].load() != at + 1;
}

size_t DatagramRing::length() const {
  int64_t length = length_.load(std::memory_order_relaxed);
  return length > 0 ? static_cast<size_t>(length) : 0;
}

}  // namespace rss
