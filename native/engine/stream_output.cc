// The output of StreamEngine: sends rows, reports marks, and ends connections.
#include <string.h>
#include <sys/socket.h>

#include <algorithm>

#include "engine/stream_engine.h"

namespace rss {

uint32_t StreamEngine::AddBuffer(const uint8_t* data, size_t size) {
  buffers_.push_back({data, size, nullptr});
  return static_cast<uint32_t>(buffers_.size() - 1);
}

uint32_t StreamEngine::AddSource(std::shared_ptr<SendSource> source) {
  const uint8_t* data = source->segment == nullptr ? nullptr : source->segment->data();
  Buffer buffer{data, 0, std::move(source)};
  auto unused = std::find_if(buffers_.begin(), buffers_.end(), [](const Buffer& b) {
    return b.data == nullptr && b.source == nullptr;
  });
  if (unused == buffers_.end()) unused = buffers_.insert(unused, Buffer{});
  *unused = std::move(buffer);
  return static_cast<uint32_t>(unused - buffers_.begin());
}

void StreamEngine::RemoveSource(uint32_t buffer) {
  if (buffer < buffers_.size() && buffers_[buffer].source != nullptr) buffers_[buffer] = Buffer{};
}

void StreamEngine::Flush(const OutputRow* rows, size_t count) {
  for (size_t at = 0; at < count && !closed_;) {
    uint32_t id = rows[at].to;
    size_t end = at + 1;
    while (end < count && rows[end].to == id) ++end;
    while (at < end && !closed_) at += FlushOne(rows + at, end - at);
    if (!holding_) continue;
    holding_ = false;
    if (StreamConnection* c = Find(id)) HoldBack(c->fd.get(), false);
  }
}

// Sends rows of one connection, up to and including the first reference. Returns their number.
size_t StreamEngine::FlushOne(const OutputRow* rows, size_t count) {
  constexpr int kParts = 64;
  StreamConnection* c = Find(rows[0].to);
  iovec parts[kParts + 1];  // Transfer() needs one more
  int used = 0;
  size_t total = 0;
  Reference reference;
  size_t at = 0;
  for (; at < count && reference.length == 0; ++at) {
    const OutputRow& row = rows[at];
    bool is_command = row.source >= OutputRow::kAcknowledged;
    if (is_command && used > 0) break;  // output before the command is sent first
    Refusal refusal = Judge(c, row);
    if (refusal != Refusal::kNone) options_.refusals->Add(refusal);
    if (is_command) {
      ApplyCommand(c, row);
      c = Find(rows[0].to);
      continue;
    }
    if (refusal != Refusal::kNone || row.length == 0) continue;
    const Buffer& buffer = buffers_[row.source];
    if (buffer.source != nullptr &&
        (buffer.data == nullptr || row.length >= options_.reference_size)) {
      reference = {buffer.source, row.offset, row.length};
      continue;
    }
    auto* data = const_cast<uint8_t*>(buffer.data) + row.offset;
    iovec* last = used > 0 ? &parts[used - 1] : nullptr;
    if (last != nullptr && static_cast<uint8_t*>(last->iov_base) + last->iov_len == data) {
      last->iov_len += row.length;
    } else {
      if (used == kParts) break;
      parts[used++] = {data, row.length};
    }
    total += row.length;
  }
  if (c != nullptr && reference.length > 0 && !holding_ && HoldsBack(c) &&
      std::any_of(rows + at, rows + count,
                  [](const OutputRow& row) { return row.source < OutputRow::kAcknowledged; })) {
    HoldBack(c->fd.get(), true);
    holding_ = true;
  }
  bool marked = at < count && rows[at].source == OutputRow::kAcknowledged;
  if (c != nullptr && (used > 0 || reference.length > 0))
    Send(c, parts, used, total, std::move(reference), marked);
  return at;
}

// Whether output is held back while more follows a reference: otherwise the end of a message would
// be a packet of its own. Paced connections are excluded, because their packets wait for timers.
bool StreamEngine::HoldsBack(StreamConnection* c) {
  return PeerOf(c) == StreamConnection::Peer::kUnknown || !c->paced;
}

Refusal StreamEngine::Check(const OutputRow& row) const {
  Refusal refusal = Judge(Find(row.to), row);
  bool unreported = refusal == Refusal::kEndedConnection && ids_.IsAllocated(row.to);
  return unreported ? Refusal::kNone : refusal;
}

// Rows come from JavaScript, so everything in them is checked. `c` is the connection of the row.
Refusal StreamEngine::Judge(const StreamConnection* c, const OutputRow& row) const {
  if (c == nullptr && !ids_.MayBeKnown(row.to)) return Refusal::kUnknownConnection;
  if (row.source >= OutputRow::kAcknowledged) return Refusal::kNone;
  if (c == nullptr || c->is_finishing()) return Refusal::kEndedConnection;
  if (c->is_spliced()) return Refusal::kSplicedConnection;
  if (row.source >= buffers_.size()) return Refusal::kUnknownSource;
  const Buffer& buffer = buffers_[row.source];
  size_t size = buffer.source == nullptr ? buffer.size : buffer.source->size();
  if (row.offset <= size && row.length <= size - row.offset) return Refusal::kNone;
  bool removed = buffer.data == nullptr && buffer.source == nullptr;
  return removed ? Refusal::kUnknownSource : Refusal::kOutOfRange;
}

void StreamEngine::ApplyCommand(StreamConnection* c, const OutputRow& row) {
  bool acknowledged = row.source == OutputRow::kAcknowledged;
  if (acknowledged || row.source == OutputRow::kTaken)
    AddMark(c, row.to, {row.offset, acknowledged});
  else if (c != nullptr && row.source == OutputRow::kEnd)
    Finish(c);
  else if (c != nullptr)
    Remove(c, 0);
}

void StreamEngine::Send(StreamConnection* c, iovec* parts, int count, size_t total,
                        Reference reference, bool marked) {
  size_t all = total + reference.length;
  size_t sent = 0;
  if (c->output.empty() && !c->is_connecting()) {
    iovec one[2];
    iovec* from = parts;
    int pieces = count;
    if (count > 1 && total <= kReadSize) {  // one copy costs less than a list of parts
      uint8_t* to = scratch_.get();
      for (int i = 0; i < count; ++i) {
        memcpy(to, parts[i].iov_base, parts[i].iov_len);
        to += parts[i].iov_len;
      }
      one[0] = {scratch_.get(), total};
      from = one;
      pieces = 1;
    }
    ssize_t result = Transfer(c, from, pieces, reference.length > 0 ? &reference : nullptr, marked);
    if (result < 0 && result != -EAGAIN) return Remove(c, static_cast<int>(result));
    if (result > 0) sent = static_cast<size_t>(result);
    if (sent == all) return;
    statistics_.short_writes += 1;
  } else if (c->output.size() > options_.max_queued) {
    return Remove(c, -ENOBUFS);
  }
  if (all - sent > ByteQueue::kMost - c->output.size()) return Remove(c, -ENOBUFS);
  statistics_.queued += static_cast<double>(all - sent);
  copied_ -= c->output.copied();
  for (int i = 0; i < count; ++i) {
    size_t skip = std::min(sent, parts[i].iov_len);
    sent -= skip;
    c->output.Append(static_cast<uint8_t*>(parts[i].iov_base) + skip, parts[i].iov_len - skip);
  }
  if (reference.length > 0) {
    reference.offset += sent;
    reference.length -= sent;
    c->output.Append(std::move(reference));
  }
  copied_ += c->output.copied();
  UpdatePoll(c);
  while (copied_ > options_.max_queued_total) CloseSlowest();
}

// Closes the connection whose output takes the most memory: its peer hardly reads.
void StreamEngine::CloseSlowest() {
  StreamConnection* slowest = nullptr;
  for (const auto& c : slots_)
    if (c != nullptr && (slowest == nullptr || c->output.copied() > slowest->output.copied()))
      slowest = c.get();
  Remove(slowest, -ENOBUFS);
}

// Sends `parts`, which must have room for one more, then the reference. `marked`: an acknowledged
// mark follows. Returns the bytes that the kernel has taken, or -errno.
ssize_t StreamEngine::Transfer(StreamConnection* c, iovec* parts, int count,
                               const Reference* reference, bool marked) {
  ssize_t sent;
  bool report_ack = marked && ReportsAcks(c);
  if (c->tls != nullptr) {
    sent = TransferSealed(c, parts, count, reference, report_ack);
  } else if (reference == nullptr) {
    statistics_.writes += 1;
    sent = SendStream(c->fd.get(), parts, count, report_ack);
  } else {
    statistics_.writes += 1;
    SendSource& source = *reference->source;
    bool shared = false;
    sent = source.Send(c->fd.get(), parts, count, reference->offset, reference->length,
                       Shares(c, *reference), report_ack, &shared);
    if (shared) {
      statistics_.bytes_shared += static_cast<double>(sent);
      c->shared = true;
    }
  }
  if (sent == -EBUSY && reference != nullptr && reference->source->background)
    return AwaitDisk(c, *reference);
  if (sent > 0) {
    options_.counters[c->bucket].bytes_out += static_cast<double>(sent);
    if (CountsBytes(c)) BytesOf(c).sent += static_cast<double>(sent);
    if (c->acks != nullptr && c->tls == nullptr)
      ack_tracker_.Written(c->id, static_cast<size_t>(sent), c->acks.get());
    using AckReports = StreamConnection::AckReports;
    if (c->ack_reports >= AckReports::kMarks)
      c->ack_reports = report_ack ? AckReports::kLast : AckReports::kMarks;
    Touch(c);
  }
  return sent;
}

// Whether output that refers to a segment is sent by sendfile(2).
bool StreamEngine::Shares(StreamConnection* c, const Reference& reference) {
  if (options_.zero_copy == ZeroCopy::kNever || reference.source->segment == nullptr) return false;
  return options_.zero_copy == ZeroCopy::kAlways || reference.length <= kMostPaced ||
         PeerOf(c) != StreamConnection::Peer::kHere || !c->paced;
}

// Returns -EAGAIN, or why the file cannot be read.
ssize_t StreamEngine::AwaitDisk(StreamConnection* c, const Reference& reference) {
  int error = file_reader_.Read(c->id, reference.source, reference.offset, reference.length);
  if (error != 0) return error;
  statistics_.file_reads += 1;
  c->awaits_disk = true;
  UpdatePoll(c);
  return -EAGAIN;
}

void StreamEngine::OnFileRead(uint32_t connection, int result) {
  StreamConnection* c = Find(connection);
  if (c == nullptr) return;
  c->awaits_disk = false;
  if (result < 0) return Remove(c, result);
  UpdatePoll(c);  // the next event goes on
}

void StreamEngine::SendQueued(StreamConnection* c) {
  size_t budget = kMostSent;
  if (c->has_pending() && c->tls->sealed == 0 && !SendSealed(c)) return;
  while (!c->output.empty()) {
    if (const OutputQueue::Mark* next = c->output.mark()) {
      OutputQueue::Mark mark = *next;
      c->output.RemoveMark();
      OnMarkReached(c, mark);
      continue;
    }
    iovec parts[2] = {{const_cast<uint8_t*>(c->output.data()), c->output.bytes()}, {}};
    const Reference* reference = c->output.reference();
    size_t wanted = parts[0].iov_len + (reference == nullptr ? 0 : reference->length);
    ssize_t result =
        Transfer(c, parts, parts[0].iov_len > 0 ? 1 : 0, reference, c->output.is_marked());
    if (result < 0) {
      if (result != -EAGAIN) Remove(c, static_cast<int>(result));
      return;
    }
    auto sent = static_cast<size_t>(result);
    copied_ -= c->output.copied();
    c->output.Consume(sent);
    copied_ += c->output.copied();
    statistics_.queued -= static_cast<double>(sent);
    if (c->is_spliced()) PairAt(c->id)->last = uv_now(loop_);
    // The next event goes on. A mark that has been reached does not wait for it, because the report
    // of its acknowledgement could come first.
    if (sent < wanted || (sent >= budget && c->output.size() > 0)) return;
    budget -= sent;
  }
  if (c->is_finishing()) return Linger(c);
  if (c->is_spliced()) return Advance(*PairAt(c->id));
  UpdatePoll(c);
  if (c->has_row) return;  // ApplyConsumed() decides
  if (CanDeliver(c) || ending_ || (c->has_ended() && !options_.half_open)) Requeue(c);
}

// --- Marks ---------------------------------------------------------------------------------------

void StreamEngine::AddMark(StreamConnection* c, uint32_t id, OutputQueue::Mark mark) {
  if (c == nullptr || c->is_finishing() || c->is_spliced())
    ReportCompleted(mark.token, c == nullptr && id == lost_.connection ? lost_.flags : 0);
  else if (c->output.empty() && !c->is_connecting())
    OnMarkReached(c, mark);
  else
    c->output.Append(mark);
}

// The kernel has taken everything before the mark.
void StreamEngine::OnMarkReached(StreamConnection* c, OutputQueue::Mark mark) {
  bool shared = c->shared;
  c->shared = false;
  if (!mark.acknowledged)
    return ReportCompleted(mark.token,
                           CompletedRow::kDone | (shared ? 0 : CompletedRow::kReusable));
  if (c->acks == nullptr) c->acks = std::make_unique<AckWaits>();
  c->acks->waits.push_back({mark.token, c->acks->written, shared});
  bool reported = c->ack_reports == StreamConnection::AckReports::kLast;
  ack_tracker_.Watch(c->fd.get(), c->id, reported, c->acks.get());
}

bool StreamEngine::ReportsAcks(StreamConnection* c) {
  using AckReports = StreamConnection::AckReports;
  if (c->ack_reports == AckReports::kUnasked) {
    bool can = ack_tracker_.Prepare(c->fd.get(), c->id);
    c->ack_reports = can ? AckReports::kMarks : AckReports::kNone;
  }
  return c->ack_reports != AckReports::kNone;
}

bool StreamEngine::OnAckCheck(uint32_t connection) {
  StreamConnection* c = Find(connection);
  if (c == nullptr || c->acks == nullptr) return false;
  CheckAcknowledged(c, false);
  if (c->acks != nullptr) return c->acks->polled;
  if (c->is_lingering() && c->has_ended()) Remove(c, 0);
  return false;
}

// Completes the marks that the peer has acknowledged; see AckTracker::Acknowledged().
void StreamEngine::CheckAcknowledged(StreamConnection* c, bool orderly) {
  auto& waits = c->acks->waits;
  double acknowledged = ack_tracker_.Acknowledged(c->fd.get(), *c->acks, orderly);
  while (!waits.empty() && waits.front().position <= acknowledged) {
    const AckWaits::Wait& wait = waits.front();
    bool reusable = !wait.shared || PeerOf(c) == StreamConnection::Peer::kElsewhere;
    ReportCompleted(wait.token, CompletedRow::kDone | (reusable ? CompletedRow::kReusable : 0));
    waits.pop_front();
  }
  if (waits.empty()) c->acks.reset();
}

// Completes all marks as not done, because the connection ends. The kernel may go on sending
// afterwards, unless another machine has reset the connection.
void StreamEngine::LoseMarks(StreamConnection* c, int error) {
  if (c->acks != nullptr) CheckAcknowledged(c, false);
  bool reset = error == -ECONNRESET || error == -EPIPE;
  uint32_t flags =
      reset && c->peer == StreamConnection::Peer::kElsewhere ? CompletedRow::kReusable : 0;
  if (c->acks != nullptr)
    for (const AckWaits::Wait& wait : c->acks->waits) ReportCompleted(wait.token, flags);
  c->acks.reset();
  c->output.ForEachMark([&](const OutputQueue::Mark& mark) { ReportCompleted(mark.token, flags); });
  lost_ = {c->id, flags};  // for marks that follow in the rows
}

void StreamEngine::ReportCompleted(uint32_t token, uint32_t flags) {
  completed_rows_.push_back({token, flags});
  Schedule();
}

// --- Ends ----------------------------------------------------------------------------------------

// Ends a connection without new input and without waiting output. Nothing can be lost where no part
// of a request is here and the peer has all answers: then the socket is closed at once, because a
// silent peer would be waited for. A peer with TLS answers the close_notify.
void StreamEngine::EndQuiet(StreamConnection* c) {
  bool idle = c->input.empty() && c->acks == nullptr && c->tls == nullptr;
  if (idle && ack_tracker_.HasAll(c->fd.get()))
    Remove(c, 0);
  else
    Finish(c);
}

void StreamEngine::Finish(StreamConnection* c) {
  if (c->is_finishing()) return;
  if (c->is_spliced()) BreakSplice(c, 0);
  using Phase = StreamConnection::Phase;
  c->phase = c->is_connecting() ? Phase::kConnectingToFinish : Phase::kFinishing;
  c->input.Consume(c->input.size());
  if (!c->output.empty()) return UpdatePoll(c);  // it is sent first
  if (c->is_connecting())
    Remove(c, -ECANCELED);
  else
    Linger(c);
}

// Closing a socket with unread input resets the connection, and the peer may lose answers that it
// has not read yet. So this closes our side only and discards input until the peer closes its own.
void StreamEngine::Linger(StreamConnection* c) {
  if (c->tls != nullptr && !SealEnd(c)) return;
  // A closed socket does not say what its peer has acknowledged.
  if (c->has_ended() && c->acks == nullptr) return Remove(c, 0);
  if (!c->has_ended()) shutdown(c->fd.get(), SHUT_WR);
  c->phase = StreamConnection::Phase::kLingering;
  uint32_t slot = ConnectionIds::SlotOf(c->id);
  if (options_.idle_timeout > 0)
    idle_timer_.Touch(slot);
  else
    idle_timer_.Watch(slot);
  c->input.Consume(c->input.size());
  if (!c->has_ended()) c->events = 0;  // level-triggered again, even if an edge has been reported
  UpdatePoll(c);
}

void StreamEngine::Remove(StreamConnection* c, int error) {
  if (c->is_handshaking()) return RemoveUnopened(c);
  if (c->is_spliced()) BreakSplice(c, error);
  LoseMarks(c, error);
  closed_rows_.push_back({c->id, error});
  statistics_.queued -= static_cast<double>(c->output.size());
  copied_ -= c->output.copied();
  if (IsTimed(c)) idle_timer_.Unwatch();
  --connections_;
  if (!wanted_.empty()) wanted_.erase(c->id);
  CountClosed(*c);
  slots_[ConnectionIds::SlotOf(c->id)].reset();
  Schedule();
}

}  // namespace rss
