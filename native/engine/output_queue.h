// A queue of output that the kernel has not taken from a connection: bytes, references to segments
// and files, and marks that report progress.
#pragma once

#include <deque>

#include "core/byte_queue.h"
#include "engine/send_source.h"

namespace rss {

class OutputQueue {
 public:
  struct Reference {
    std::shared_ptr<SendSource> source;
    uint64_t offset = 0;
    size_t length = 0;
  };
  struct Mark {
    uint32_t token = 0;
    bool acknowledged = false;  // reached only once the peer has acknowledged it
  };

  bool empty() const { return bytes_.empty() && order_ == nullptr; }
  // All bytes, including those of references.
  size_t size() const { return bytes_.size() + (order_ == nullptr ? 0 : order_->referred); }

  // Bytes that the queue holds in memory.
  size_t copied() const { return bytes_.size(); }

  void Append(const void* bytes, size_t count) { bytes_.Append(bytes, count); }
  void Append(Reference reference) {
    Order& order = AddPiece();
    order.referred += reference.length;
    order.pieces.back().reference = std::move(reference);
  }
  void Append(Mark mark) { AddPiece().pieces.back().mark = mark; }

  // The bytes at the front, and the reference that follows them.
  const uint8_t* data() const { return bytes_.data(); }
  size_t bytes() const { return order_ == nullptr ? bytes_.size() : order_->pieces.front().before; }
  const Reference* reference() const {
    if (order_ == nullptr || order_->pieces.front().reference.length == 0) return nullptr;
    return &order_->pieces.front().reference;
  }
  // The mark at the front, or null.
  const Mark* mark() const {
    if (order_ == nullptr || bytes() > 0 || reference() != nullptr) return nullptr;
    return &order_->pieces.front().mark;
  }

  // Whether an acknowledged mark follows data() and reference().
  bool is_marked() const {
    if (order_ == nullptr) return false;
    auto next = order_->pieces.begin();
    if (reference() != nullptr && (++next == order_->pieces.end() || next->before > 0))
      return false;
    return next->reference.source == nullptr && next->mark.acknowledged;
  }

  // `count` is at most bytes() plus the length of reference().
  void Consume(size_t count);
  void RemoveMark() { RemovePiece(); }

  template <typename F>
  void ForEachMark(F visit) const {
    if (order_ == nullptr) return;
    for (const Piece& piece : order_->pieces)
      if (piece.reference.source == nullptr) visit(piece.mark);
  }

  // Empties the queue. Returns its bytes and those of references, as far as they can be read.
  ByteQueue Flatten();

 private:
  struct Piece {
    size_t before = 0;    // bytes between the previous piece and this one
    Reference reference;  // empty for a mark
    Mark mark;
  };
  struct Order {
    std::deque<Piece> pieces;
    size_t before = 0;    // sum over all pieces
    size_t referred = 0;  // bytes
  };

  Order& AddPiece();
  void RemovePiece();

  ByteQueue bytes_;
  std::unique_ptr<Order> order_;  // null without references and marks
};

}  // namespace rss
