// A queue of bytes: the beginning of a request, or output for a slow peer.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <memory>

namespace rss {

// Bytes are appended at the end and consumed from the front. An empty queue holds no memory, so
// that an idle connection costs none.
class ByteQueue {
 public:
  static constexpr size_t kMost = UINT32_MAX;

  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  const uint8_t* data() const { return bytes_.get() + begin_; }

  // Makes room for `count` bytes at the end. Commit() adds those that have been written there.
  uint8_t* Reserve(size_t count);
  void Commit(size_t count) { end_ += static_cast<uint32_t>(count); }
  void Append(const void* bytes, size_t count);
  void Consume(size_t count);

 private:
  // 32 bits, because every connection has two of these, which every turn reads.
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
  uint32_t capacity_ = 0;
  std::unique_ptr<uint8_t[]> bytes_;
};

}  // namespace rss
