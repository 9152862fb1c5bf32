// The input of StreamEngine: reads sockets into the rows of a turn, and keeps unconsumed bytes.
#include <string.h>

#include <algorithm>

#include "engine/stream_engine.h"

namespace rss {

// Makes room in the slab and the table for a row of the connection, by running a turn if necessary.
// False when the connection cannot have a row now; the turn may also have closed it.
bool StreamEngine::MakeRoom(uint32_t id, size_t bytes) {
  StreamConnection* c = Find(id);
  bool full = rows_ == options_.input_rows || options_.slab_size - slab_used_ < bytes;
  if (full || (c != nullptr && c->has_row)) {
    if (in_turn_) return false;
    RunTurn();
    c = Find(id);
  }
  return c != nullptr && !c->is_finishing() && c->output.empty();
}

void StreamEngine::AddRow(StreamConnection* c, size_t length) {
  options_.inputs[rows_++] = {c->id,
                              static_cast<uint32_t>(slab_used_),
                              static_cast<uint32_t>(length),
                              c->has_ended() ? InputRow::kEnded : 0,
                              static_cast<uint32_t>(c->bucket),
                              InputRow::kUntouched,
                              0,
                              0};
  slab_used_ += length;
  c->has_row = true;
  if (c->has_ended()) c->input_end = StreamConnection::InputEnd::kReported;
}

void StreamEngine::Read(uint32_t id) {
  if (Find(id)->is_lingering()) return Discard(Find(id));
  if (!MakeRoom(id, kReadSize + (tls_ == nullptr ? 0 : TlsSession::kRecord))) return;
  StreamConnection* c = Find(id);
  // Edges do not pay for the first read, because many connections make a single request.
  using Readiness = StreamConnection::Readiness;
  if (c->readiness == Readiness::kUnread)
    c->readiness = Readiness::kLevel;
  else
    UseEdges(c);
  statistics_.reads += 1;
  size_t size = kReadSize;
  size_t taken;  // from the kernel
  ssize_t received;
  if (c->input.empty()) {
    received = Receive(c, options_.slab + slab_used_, size, &taken);
    if (received > 0) AddRow(c, static_cast<size_t>(received));
  } else {
    size_t missing = c->needed > c->input.size() ? c->needed - c->input.size() : 0;
    size = std::min(std::max(missing, kReadSize), kLargeReadSize);
    size_t room = size + (c->tls == nullptr ? 0 : TlsSession::kRecord);
    received = Receive(c, c->input.Reserve(room), size, &taken);
    if (received > 0) c->input.Commit(static_cast<size_t>(received));
  }
  // After a short read nothing is left (epoll(7)).
  c->unread = c->readiness == Readiness::kEdge && taken > 0 && (c->hung_up || taken == size);
  if (received > 0) {
    options_.counters[c->bucket].bytes_in += static_cast<double>(received);
    if (CountsBytes(c)) BytesOf(c).received += static_cast<double>(received);
    Touch(c);
    if (CanDeliver(c))
      Deliver(id);
    else if ((c->unread || ending_) && !c->has_row)
      Requeue(c);
  } else if (received == 0) {
    c->input_end = StreamConnection::InputEnd::kUnreported;
    UpdatePoll(c);
    Deliver(id);  // or later, once its output is sent or its row is done
  } else if (received != -EAGAIN) {
    Remove(c, static_cast<int>(received));
  } else if (c->unread) {
    Requeue(c);  // a part of a record
  } else if (ending_) {
    EndQuiet(c);
  }
}

// Returns as ReceiveStream() does. `*taken`: bytes that the kernel has given.
ssize_t StreamEngine::Receive(StreamConnection* c, uint8_t* to, size_t size, size_t* taken) {
  if (c->tls != nullptr) return ReceiveSealed(c, to, size, taken);
  ssize_t received = ReceiveStream(c->fd.get(), to, size);
  *taken = received > 0 ? static_cast<size_t>(received) : 0;
  return received;
}

void StreamEngine::Discard(StreamConnection* c) {
  ssize_t received = ReceiveStream(c->fd.get(), scratch_.get(), kReadSize);
  if (received > 0 || received == -EAGAIN) return;
  // JavaScript has ended the connection and needs no report.
  c->input_end = StreamConnection::InputEnd::kReported;
  if (c->acks != nullptr && received == 0) CheckAcknowledged(c, true);
  if (c->acks == nullptr || received < 0) return Remove(c, 0);
  UpdatePoll(c);
}

void StreamEngine::Deliver(uint32_t id) {
  StreamConnection* c = Find(id);
  size_t size = c->input.size();
  if (!MakeRoom(id, size)) return;
  if (size > 0) memcpy(options_.slab + slab_used_, c->input.data(), size);
  AddRow(c, size);
  c->input.Consume(size);
}

// Whether there is something to report: as many bytes as JavaScript has asked for, or the end.
bool StreamEngine::CanDeliver(const StreamConnection* c) const {
  return (!c->input.empty() && c->input.size() >= c->needed) ||
         c->input_end == StreamConnection::InputEnd::kUnreported;
}

void StreamEngine::Requeue(StreamConnection* c) {
  if (c->requeued) return;
  c->requeued = true;
  requeued_.push_back(c->id);
  Schedule();
}

void StreamEngine::ServeRequeued() {
  std::vector<uint32_t> now;
  now.swap(requeued_);
  for (uint32_t id : now) {
    StreamConnection* c = Find(id);
    if (c == nullptr) continue;
    c->requeued = false;
    if (c->splicing != StreamConnection::Splicing::kNo) {
      if (c->is_spliced() && ending_) Advance(*PairAt(id));
      continue;
    }
    // A connection with a row or unsent output is requeued once the row is done or it is sent.
    if (c->has_row || c->is_finishing() || c->is_connecting() || !c->output.empty()) continue;
    if (CanDeliver(c))
      Deliver(id);
    else if (c->has_ended())
      Finish(c);
    else if (ending_ || c->unread)
      Read(id);
  }
}

// Applies what JavaScript has written into a row.
void StreamEngine::ApplyConsumed(const InputRow& row) {
  StreamConnection* c = Find(row.connection);
  if (c == nullptr) return;
  c->has_row = false;
  if (c->is_finishing()) return;
  size_t consumed =
      row.consumed == InputRow::kUntouched ? row.length : std::min(row.consumed, row.length);
  size_t rest = row.length - consumed;
  c->input.Append(options_.slab + row.offset + consumed, rest);
  if (c->is_spliced()) return Advance(*PairAt(c->id));
  if (c->splicing == StreamConnection::Splicing::kLeaving) return;
  c->needed = row.needed;
  if (row.needed == 0) c->needed = static_cast<uint32_t>(rest + 1);
  if (c->needed > options_.max_input) return Remove(c, -EMSGSIZE);
  if (CanDeliver(c) || ending_ || c->unread)
    Requeue(c);
  else if (c->has_ended() && !options_.half_open)
    return Finish(c);
  UpdatePoll(c);
}

}  // namespace rss
