#include "core/byte_queue.h"

#include <string.h>

#include <algorithm>

namespace rss {

uint8_t* ByteQueue::Reserve(size_t count) {
  if (capacity_ - end_ < count) {
    size_t used = size();
    if (capacity_ - used >= count && begin_ >= used) {
      memcpy(bytes_.get(), bytes_.get() + begin_, used);
    } else {
      size_t wanted = std::max(used + count, size_t{capacity_} * 2);
      capacity_ = static_cast<uint32_t>(std::min(wanted, kMost));
      std::unique_ptr<uint8_t[]> larger(new uint8_t[capacity_]);
      if (used > 0) memcpy(larger.get(), data(), used);
      bytes_ = std::move(larger);
    }
    begin_ = 0;
    end_ = static_cast<uint32_t>(used);
  }
  return bytes_.get() + end_;
}

void ByteQueue::Append(const void* bytes, size_t count) {
  if (count == 0) return;
  memcpy(Reserve(count), bytes, count);
  Commit(count);
}

void ByteQueue::Consume(size_t count) {
  begin_ += static_cast<uint32_t>(count);
  if (begin_ != end_) return;
  bytes_.reset();
  begin_ = end_ = capacity_ = 0;
}

}  // namespace rss
