// A bounded ring of datagrams for many producers and one consumer, without locks and allocations.
//
// This is Dmitry Vyukov's bounded queue with records of different lengths. A datagram takes as many
// adjacent blocks of the ring as it needs. A producer claims them by advancing the tail, and
// publishes them by the sequence number of the first. The consumer frees them by advancing the
// head, once it has done with them. Those behind a producer that has claimed but not published wait
// for it.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <atomic>
#include <memory>

#include "core/address.h"
#include "core/flow.h"

namespace rss {

// A datagram on its way to the worker that serves it, without its payload.
struct ForwardedDatagram {
  Flow flow;
  KernelFlow kernel;  // for its reply: IP_FLOWID and IP_FLOWTYPE on transmit
  SocketAddress peer;
  SocketAddress local;  // the address it was sent to
  int endpoint = 0;     // the server's UDP endpoint that received it
  uint32_t length = 0;  // of its payload
  bool truncated = false;
  uint32_t passed = 0;  // ticket of the flow's own socket, which comes instead of a datagram
};

class DatagramReceiver {
 public:
  virtual ~DatagramReceiver() = default;
  // The arguments are valid until this returns.
  virtual void OnForwarded(const ForwardedDatagram& datagram, const uint8_t* payload) = 0;
};

class DatagramRing {
 public:
  static constexpr size_t kBlockSize = 256;
  static constexpr size_t kBlocks = 2048;  // a power of two

  DatagramRing();
  DatagramRing(const DatagramRing&) = delete;
  DatagramRing& operator=(const DatagramRing&) = delete;

  // Copies `datagram` and its payload. False when there is no room. The push and what the caller
  // loads next are sequentially consistent.
  bool Push(const ForwardedDatagram& datagram, const uint8_t* payload);

  // For one thread at a time. Take() gives up to `most` datagrams to `receiver` and returns their
  // number. They keep their place until Free(); or else Return() has them taken again.
  size_t Take(size_t most, DatagramReceiver* receiver);
  void Free();
  void Return();

  // Whether there is nothing to take, or its producer has not finished.
  bool empty() const;
  // Positions, in blocks since the beginning: up to here, datagrams were claimed, and freed.
  uint64_t tail() const { return tail_.load(); }
  uint64_t head() const { return head_.load(std::memory_order_acquire); }
  // The number of datagrams. Approximate while others push and take.
  size_t length() const;

 private:
  // The position that was published in a block, plus one; 0: none was.
  std::unique_ptr<std::atomic<uint64_t>[]> sequences_;
  std::unique_ptr<uint8_t[]> blocks_;
  alignas(64) std::atomic<uint64_t> tail_{0};
  alignas(64) std::atomic<uint64_t> head_{0};
  std::atomic<uint64_t> next_{0};  // the position of the next one to take
  size_t taken_ = 0;               // datagrams between the two
  alignas(64) std::atomic<int64_t> length_{0};
};

}  // namespace rss
