// StreamEngine: from the sockets to the rows of a turn, and what is left of them.
#include <string.h>

#include <algorithm>

#include "engine/stream_engine.h"

namespace rss {

// Room in slab and table. May run a turn to get it, and that may end the connection: false then.
bool StreamEngine::MakeRoom(uint32_t id, size_t bytes) {
  StreamConnection* c = Find(id);
  bool full = rows_ == options_.input_rows || options_.slab_size - slab_used_ < bytes;
  if (full || (c != nullptr && c->offered)) {
    if (in_turn_) return false;
    RunTurn();
    c = Find(id);
  }
  return c != nullptr && !c->finishing && c->output.empty();
}

void StreamEngine::AddRow(StreamConnection* c, size_t length) {
  options_.inputs[rows_++] = {c->id,
                              static_cast<uint32_t>(slab_used_),
                              static_cast<uint32_t>(length),
                              c->ended ? InputRow::kEnded : 0,
                              static_cast<uint32_t>(c->bucket),
                              InputRow::kUntouched,
                              0,
                              0};
  slab_used_ += length;
  c->offered = true;
  c->told = c->ended;
}

void StreamEngine::Read(uint32_t id) {
  if (Find(id)->lingering) return Discard(Find(id));
  if (!MakeRoom(id, kReadSize)) return;
  StreamConnection* c = Find(id);
  // Not at once: many connections make one request only. Not of Unix sockets: reading one stops
  // short behind a message that carries descriptors.
  if (c->returning && !c->edge && !c->local)
    c->edge = WatchEdges(uv_backend_fd(loop_), c->fd.get());
  c->returning = true;
  statistics_.reads += 1;
  size_t size = kReadSize;
  ssize_t received;
  if (c->input.empty()) {
    received = ReceiveStream(c->fd.get(), options_.slab + slab_used_, size);
    if (received > 0) AddRow(c, static_cast<size_t>(received));
  } else {
    size_t missing = c->needed > c->input.size() ? c->needed - c->input.size() : 0;
    size = std::min(std::max(missing, kReadSize), kLargeReadSize);
    received = ReceiveStream(c->fd.get(), c->input.Reserve(size), size);
    if (received > 0) c->input.Commit(static_cast<size_t>(received));
  }
  // A stream that gave less than it was asked for had no more then (epoll(7)).
  c->unread = c->edge && received > 0 && (c->hung_up || static_cast<size_t>(received) == size);
  if (received > 0) {
    options_.counters[c->bucket].bytes_in += static_cast<double>(received);
    Active(c);
    if (CanGoOn(c))
      Offer(id);
    else if ((c->unread || c->draining) && !c->offered)
      Carry(c);
  } else if (received == 0) {
    c->ended = true;
    UpdatePoll(c);
    Offer(id);  // if it cannot be just now, it is carried over
  } else if (received != -EAGAIN) {
    Remove(c, static_cast<int>(received));
  } else if (c->draining) {
    Finish(c);
  }
}

void StreamEngine::Discard(StreamConnection* c) {
  ssize_t received = ReceiveStream(c->fd.get(), scratch_.get(), kReadSize);
  if (received > 0 || received == -EAGAIN) return;
  c->ended = true;
  if (c->unconfirmed != nullptr && received == 0) Confirm(c, true);
  if (c->unconfirmed == nullptr || received < 0) return Remove(c, 0);
  UpdatePoll(c);
}

void StreamEngine::Offer(uint32_t id) {
  StreamConnection* c = Find(id);
  size_t size = c->input.size();
  if (!MakeRoom(id, size)) return;
  if (size > 0) memcpy(options_.slab + slab_used_, c->input.data(), size);
  AddRow(c, size);
  c->input.Consume(size);
}

// There is something to tell: a complete request, as far as JavaScript has said what one is, or the
// end.
bool StreamEngine::CanGoOn(const StreamConnection* c) const {
  return (!c->input.empty() && c->input.size() >= c->needed) || c->ended != c->told;
}

void StreamEngine::Carry(StreamConnection* c) {
  if (c->carried) return;
  c->carried = true;
  carried_.push_back(c->id);
  Schedule();
}

void StreamEngine::ServeCarriedOver() {
  std::vector<uint32_t> now;
  now.swap(carried_);
  for (uint32_t id : now) {
    StreamConnection* c = Find(id);
    if (c == nullptr) continue;
    c->carried = false;
    // What has a row, or waits for its peer, is carried again when that is over.
    if (c->offered || c->finishing || c->connecting || !c->output.empty()) continue;
    if (CanGoOn(c))
      Offer(id);
    else if (c->ended)
      Finish(c);
    else if (c->draining || c->unread)
      Read(id);
  }
}

// Takes what JavaScript said of a row.
void StreamEngine::Settle(const InputRow& row) {
  StreamConnection* c = Find(row.connection);
  if (c == nullptr) return;
  c->offered = false;
  if (c->finishing) return;
  size_t consumed =
      row.consumed == InputRow::kUntouched ? row.length : std::min(row.consumed, row.length);
  size_t rest = row.length - consumed;
  c->needed = row.needed;
  c->input.Append(options_.slab + row.offset + consumed, rest);
  if (row.needed == 0) c->needed = static_cast<uint32_t>(rest + 1);
  if (c->needed > options_.max_input) return Remove(c, -EMSGSIZE);
  if (CanGoOn(c) || c->draining || c->unread)
    Carry(c);
  else if (c->ended && !options_.half_open)
    return Finish(c);
  UpdatePoll(c);
}

}  // namespace rss
