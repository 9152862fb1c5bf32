// Bytes that wait: the beginning of a request, or output for a slow peer.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <memory>

namespace rss {

// Appended at the end, consumed from the front. Holds no memory while it is empty, so that an idle
// connection costs nothing.
class ByteQueue {
 public:
  static constexpr size_t kMost = UINT32_MAX;

  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  const uint8_t* data() const { return bytes_.get() + begin_; }

  // Room for `count` bytes at the end; Commit() what has been written there.
  uint8_t* Reserve(size_t count);
  void Commit(size_t count) { end_ += static_cast<uint32_t>(count); }
  void Append(const void* bytes, size_t count);
  void Consume(size_t count);

 private:
  // 32 bits: two of these lie in every connection, and are looked at in every turn.
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
  uint32_t capacity_ = 0;
  std::unique_ptr<uint8_t[]> bytes_;
};

}  // namespace rss
