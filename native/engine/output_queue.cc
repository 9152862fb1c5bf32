#include "engine/output_queue.h"

#include <unistd.h>

#include <algorithm>

namespace rss {

OutputQueue::Order& OutputQueue::AddPiece() {
  if (order_ == nullptr) order_ = std::make_unique<Order>();
  order_->pieces.emplace_back();
  Piece& piece = order_->pieces.back();
  piece.before = bytes_.size() - order_->before;
  order_->before = bytes_.size();
  return *order_;
}

void OutputQueue::RemovePiece() {
  order_->pieces.pop_front();
  if (order_->pieces.empty()) order_.reset();
}

void OutputQueue::Consume(size_t count) {
  size_t plain = std::min(count, bytes());
  bytes_.Consume(plain);
  if (order_ == nullptr) return;
  Piece& first = order_->pieces.front();
  first.before -= plain;
  order_->before -= plain;
  count -= plain;
  if (count == 0) return;
  first.reference.offset += count;
  first.reference.length -= count;
  order_->referred -= count;
  if (first.reference.length == 0) RemovePiece();
}

ByteQueue OutputQueue::Flatten() {
  if (order_ == nullptr) return std::move(bytes_);
  ByteQueue flat;
  while (!empty()) {
    if (mark() != nullptr) {
      RemoveMark();
      continue;
    }
    size_t plain = bytes();
    flat.Append(data(), plain);
    if (const Reference* next = reference()) {
      FileRange range = next->source->Range(next->offset, next->length);
      uint8_t* to = flat.Reserve(range.length);
      ssize_t got = pread(range.fd, to, range.length, static_cast<off_t>(range.offset));
      flat.Commit(static_cast<size_t>(std::max<ssize_t>(got, 0)));
      plain += range.length;
    }
    Consume(plain);
  }
  return flat;
}

}  // namespace rss
