// The spliced connections of StreamEngine. They are watched level-triggered: a connection for input
// while its partner takes some, and for room while there is something to send.
#include <sys/socket.h>

#include <algorithm>

#include "engine/stream_engine.h"

namespace rss {
namespace {

using Splicing = StreamConnection::Splicing;

constexpr uint64_t kShortestCheckMs = 50;   // between two looks at all splices
constexpr uint64_t kLongestCheckMs = 1000;  // the same where the kernel forwards and counts
// A read of this size is worth a pipe: below, two more calls of the kernel cost more than a copy.
constexpr size_t kLeastSpliced = 16 * 1024;
// After a smaller read into a pipe, the socket is taken to be empty.
constexpr size_t kDry = 128 * 1024;

}  // namespace

Result<uint32_t> StreamEngine::Splice(uint32_t first, uint32_t second, uint64_t idle, double max) {
  StreamConnection *a = Find(first), *b = Find(second);
  if (a == nullptr || b == nullptr || a->is_finishing() || b->is_finishing())
    return MakeFailure(ENOTCONN, "splice", "a connection has ended");
  if (a == b) return MakeFailure(EINVAL, "splice", "both connections are the same");
  if (a->tls != nullptr || b->tls != nullptr)
    return MakeFailure(ENOTSUP, "splice", "a connection has TLS");
  if (a->is_spliced() || b->is_spliced())
    return MakeFailure(EBUSY, "splice", "a connection is spliced already");
  if (forward_buffer_ == nullptr) forward_buffer_.reset(new uint8_t[kForwardSize]);
  if (pair_at_.size() < slots_.size()) pair_at_.resize(slots_.size());
  uint32_t token = next_token_++;
  auto& pair = pairs_[token];
  pair = std::make_unique<SplicedPair>();
  pair->token = token;
  pair->idle = idle;
  pair->last = uv_now(loop_);
  for (SpliceWay& way : pair->ways) {
    way.from = &way == pair->ways ? a : b;
    way.to = way.from == a ? b : a;
    if (max > 0) way.left = max;
    way.copies = a->is_unix || b->is_unix;
    way.joinable = !way.copies && CanJoinSockets();
    StreamConnection* c = way.from;
    c->splicing = Splicing::kYes;
    c->unread = false;  // UpdatePoll() makes it level-triggered
    pair_at_[ConnectionIds::SlotOf(c->id)] = pair.get();
    KeepRow(c);
  }
  if (idle > 0) CheckSplicesAt(pair->last + idle);
  Advance(*pair);
  return token;
}

// Keeps a row of this turn's table to be forwarded, except for what JavaScript consumes of it.
void StreamEngine::KeepRow(StreamConnection* c) {
  for (size_t i = 0; i < rows_ && c->has_row; ++i) {
    InputRow& row = options_.inputs[i];
    if (row.connection != c->id) continue;
    if (in_turn_) {  // ApplyConsumed() goes on
      if (row.consumed == InputRow::kUntouched) row.consumed = 0;
      return;
    }
    ByteQueue input;
    input.Append(options_.slab + row.offset, row.length);
    input.Append(c->input.data(), c->input.size());
    c->input = std::move(input);
    c->has_row = false;
    std::copy(&row + 1, options_.inputs + rows_--, &row);
  }
}

int StreamEngine::SplicedEvents(const StreamConnection* c) const {
  if (c->is_connecting()) return UV_WRITABLE;
  SplicedPair& pair = *PairAt(c->id);
  const SpliceWay &in = pair.into(c), &out = pair.from(c);
  bool has_output = !c->output.empty() || in.pipe.held() > 0;
  bool takes_input = !c->has_row && !c->has_ended() && !out.to->is_connecting() &&
                     out.to->output.empty() && out.pipe.held() == 0;
  return (has_output ? UV_WRITABLE : 0) | (takes_input ? UV_READABLE : 0);
}

void StreamEngine::OnSplicedPoll(StreamConnection* c, int events) {
  uint32_t id = c->id;
  SplicedPair* pair = PairAt(id);
  if ((events & UV_WRITABLE) != 0) {
    if (!c->output.empty()) return SendQueued(c);  // continues in Advance()
    if (!Forward(*pair, pair->into(c))) return;
  }
  if ((events & UV_READABLE) != 0 && !Forward(*pair, pair->from(c))) return;
  UpdatePoll(c);
  UpdatePoll(pair->other(c));
}

void StreamEngine::Advance(SplicedPair& pair) {
  for (SpliceWay& way : pair.ways)
    if (!Forward(pair, way)) return;
  for (SpliceWay& way : pair.ways) UpdatePoll(way.from);
}

// Forwards what there is. False when the splice has ended, and no longer exists.
bool StreamEngine::Forward(SplicedPair& pair, SpliceWay& way) {
  StreamConnection *from = way.from, *to = way.to;
  if (way.ended || from->has_row || from->is_connecting() || to->is_connecting()) return true;
  if (way.joined) {  // the kernel has stopped, or is asked to
    LeaveSockets(from->fd.get());
    CountJoined(pair, way);
    way.joined = false;
    way.joinable = way.joined_bytes > 0;  // otherwise it might stop at once again and again
  }
  size_t forwarded = 0;
  bool dry = false;
  while (to->output.empty()) {
    if (way.pipe.held() > 0) {
      statistics_.writes += 1;
      ssize_t sent = way.pipe.Empty(to->fd.get());
      if (sent < 0 && sent != -EAGAIN) {
        Remove(to, static_cast<int>(sent));
        return false;
      }
      if (sent > 0) {
        CountGiven(to, static_cast<size_t>(sent));
        statistics_.bytes_spliced += static_cast<double>(sent);
        pair.last = uv_now(loop_);
      }
      if (way.pipe.held() > 0) return true;
      pipes_.Give(std::move(way.pipe));
    }
    if (way.left <= 0) {
      Return(pair, SpliceEvent::kMax, from->id);
      return false;
    }
    if (!from->input.empty()) {
      auto size = static_cast<size_t>(std::min(static_cast<double>(from->input.size()), way.left));
      way.bytes += static_cast<double>(size);
      way.left -= static_cast<double>(size);
      if (!Pass(pair, way, from->input.data(), size)) return false;
      from->input.Consume(size);
      continue;
    }
    if (from->has_ended()) return PassEnd(pair, way);
    if (dry || forwarded >= kMostForwarded) break;
    size_t wanted;
    ssize_t taken = Take(pair, way, &wanted);
    if (taken == -EAGAIN) {
      if (ending_) return PassEnd(pair, way);
      dry = true;
    } else if (taken < 0) {
      Remove(from, static_cast<int>(taken));
      return false;
    } else if (taken == 0) {
      from->input_end = StreamConnection::InputEnd::kReported;
    } else {
      forwarded += static_cast<size_t>(taken);
      dry = static_cast<size_t>(taken) < wanted && !ending_;
      if (way.pipe.held() == 0 &&
          !Pass(pair, way, forward_buffer_.get(), static_cast<size_t>(taken)))
        return false;
    }
  }
  if (dry && way.joinable && to->output.empty()) Join(way);
  return true;
}

// Takes input of a connection into a pipe, or into the buffer. Returns as ReceiveStream().
ssize_t StreamEngine::Take(SplicedPair& pair, SpliceWay& way, size_t* wanted) {
  int fd = way.from->fd.get();
  ssize_t taken = -EINVAL;
  if (way.large) {
    way.pipe = pipes_.Take();
    if (way.pipe) {
      *wanted = static_cast<size_t>(std::min(static_cast<double>(kMostForwarded), way.left));
      taken = way.pipe.Fill(fd, *wanted);
      *wanted = std::min(*wanted, kDry);
      if (taken <= 0) pipes_.Give(std::move(way.pipe));
      if (taken == -EINVAL) way.copies = true;
    }
  }
  if (taken == -EINVAL) {
    *wanted = static_cast<size_t>(std::min(static_cast<double>(kForwardSize), way.left));
    taken = ReceiveStream(fd, forward_buffer_.get(), *wanted);
  }
  statistics_.reads += 1;
  if (taken > 0) {
    way.large = static_cast<size_t>(taken) >= kLeastSpliced && !way.copies;
    CountTaken(pair, way, static_cast<size_t>(taken));
  }
  return taken;
}

void StreamEngine::CountTaken(SplicedPair& pair, SpliceWay& way, size_t bytes) {
  way.bytes += static_cast<double>(bytes);
  way.left -= static_cast<double>(bytes);
  pair.last = uv_now(loop_);
  options_.counters[way.from->bucket].bytes_in += static_cast<double>(bytes);
  if (CountsBytes(way.from)) BytesOf(way.from).received += static_cast<double>(bytes);
  Touch(way.from);
}

void StreamEngine::CountGiven(StreamConnection* c, size_t bytes) {
  options_.counters[c->bucket].bytes_out += static_cast<double>(bytes);
  if (CountsBytes(c)) BytesOf(c).sent += static_cast<double>(bytes);
  if (c->acks != nullptr) ack_tracker_.Written(c->id, bytes, c->acks.get());
  Touch(c);
}

// Sends bytes, or queues what the kernel does not take. False when that has ended the splice.
bool StreamEngine::Pass(SplicedPair& pair, SpliceWay& way, const uint8_t* data, size_t size) {
  uint32_t id = way.from->id;
  iovec part{const_cast<uint8_t*>(data), size};
  Send(way.to, &part, 1, size, {}, false);
  return PairAt(id) == &pair;
}

// False when both directions have ended, and with them the splice.
bool StreamEngine::PassEnd(SplicedPair& pair, SpliceWay& way) {
  shutdown(way.to->fd.get(), SHUT_WR);
  way.ended = true;
  StreamConnection *from = way.from, *to = way.to;
  if (!pair.into(from).ended) {
    ReportSpliced(pair, SpliceEvent::kHalfEnd, from->id, 0);
    return true;
  }
  TakeApart(pair, SpliceEvent::kEnd, 0, 0);
  Finish(from);
  Finish(to);
  return false;
}

// --- Forwarding by the kernel --------------------------------------------------------------------

void StreamEngine::Join(SpliceWay& way) {
  way.joined = JoinSockets(way.from->fd.get(), way.to->fd.get(), way.left);
  way.joinable = way.joined;
  way.joined_bytes = 0;
  if (!way.joined) return;
  CheckSplicesAt(uv_now(loop_) + JoinedCheckMs());
  if (way.to->acks != nullptr) ack_tracker_.Poll(way.to->id, way.to->acks.get());
}

// How often the kernel's counts are read: in time for idleTimeout.
uint64_t StreamEngine::JoinedCheckMs() const {
  if (options_.idle_timeout == 0) return kLongestCheckMs;
  return std::min(std::max(options_.idle_timeout / 4, kShortestCheckMs), kLongestCheckMs);
}

void StreamEngine::CountJoined(SplicedPair& pair, SpliceWay& way) {
  double forwarded = JoinedBytes(way.from->fd.get()) - way.joined_bytes;
  if (forwarded <= 0) return;
  way.joined_bytes += forwarded;
  statistics_.bytes_spliced += forwarded;
  CountTaken(pair, way, static_cast<size_t>(forwarded));
  CountGiven(way.to, static_cast<size_t>(forwarded));
}

// --- Ends ----------------------------------------------------------------------------------------

bool StreamEngine::Unsplice(uint32_t id) {
  StreamConnection* c = Find(id);
  if (c == nullptr || !c->is_spliced()) return false;
  Return(*PairAt(id), SpliceEvent::kUnspliced, 0);
  return true;
}

// Separates the connections. After an error, bytes on their way are dropped; otherwise they become
// output.
void StreamEngine::TakeApart(SplicedPair& pair, SpliceEvent event, uint32_t connection, int error) {
  auto node = pairs_.extract(pair.token);
  for (SpliceWay& way : pair.ways) {
    if (way.joined) {
      LeaveSockets(way.from->fd.get());
      CountJoined(pair, way);
    }
    while (error == 0 && way.pipe.held() > 0) {
      ssize_t got = way.pipe.Read(forward_buffer_.get(), kForwardSize);
      if (got <= 0) break;
      way.to->output.Append(forward_buffer_.get(), static_cast<size_t>(got));
      copied_ += static_cast<size_t>(got);
      statistics_.queued += static_cast<double>(got);
    }
    pipes_.Give(std::move(way.pipe));
    way.from->splicing = Splicing::kNo;
    pair_at_[ConnectionIds::SlotOf(way.from->id)] = nullptr;
  }
  ReportSpliced(pair, event, connection, error);
}

// Returns both connections to the engine, which reads from them once JavaScript knows.
void StreamEngine::Return(SplicedPair& pair, SpliceEvent event, uint32_t connection) {
  StreamConnection* both[] = {pair.ways[0].from, pair.ways[1].from};
  TakeApart(pair, event, connection, 0);
  SpliceReport& report = spliced_rows_.back();
  for (size_t i = 0; i < 2; ++i) {
    StreamConnection* c = both[i];
    report.returned[i] = c->id;
    c->splicing = Splicing::kLeaving;
    c->needed = 0;
    if (c->has_ended()) c->input_end = StreamConnection::InputEnd::kUnreported;
    UpdatePoll(c);
  }
}

// Ends the splice of a connection that is about to end, and the other connection.
void StreamEngine::BreakSplice(StreamConnection* c, int error) {
  SplicedPair& pair = *PairAt(c->id);
  StreamConnection* other = pair.other(c);
  TakeApart(pair, error == 0 ? SpliceEvent::kClosed : SpliceEvent::kError, c->id, error);
  if (error == 0) return Finish(other);
  if (!other->is_connecting()) ResetOnClose(other->fd.get());
  Remove(other, error);
}

// JavaScript knows that the connection has returned.
void StreamEngine::Resume(uint32_t id) {
  StreamConnection* c = Find(id);
  if (c == nullptr || c->splicing != Splicing::kLeaving) return;
  c->splicing = Splicing::kNo;
  UpdatePoll(c);
  if (CanDeliver(c) || ending_) Requeue(c);
}

void StreamEngine::ReportSpliced(const SplicedPair& pair, SpliceEvent event, uint32_t connection,
                                 int error) {
  auto forth = static_cast<uint64_t>(pair.ways[0].bytes);
  auto back = static_cast<uint64_t>(pair.ways[1].bytes);
  SplicedRow row{pair.token,
                 static_cast<uint32_t>(event),
                 connection,
                 error,
                 static_cast<uint32_t>(forth),
                 static_cast<uint32_t>(forth >> 32),
                 static_cast<uint32_t>(back),
                 static_cast<uint32_t>(back >> 32)};
  spliced_rows_.push_back({row, {0, 0}});
  Schedule();
}

// --- Idle time -----------------------------------------------------------------------------------

void StreamEngine::CheckSplicesAt(uint64_t when) {
  if (closed_) return;
  auto* timer = splice_timer_.get();
  bool active = uv_is_active(reinterpret_cast<uv_handle_t*>(timer)) != 0;
  if (active && splice_check_at_ <= when) return;
  uint64_t now = uv_now(loop_);
  uint64_t wait = std::max(when > now ? when - now : 0, kShortestCheckMs);
  splice_check_at_ = now + wait;
  uv_timer_start(
      timer,
      [](uv_timer_t* t) {
        if (t->data != nullptr) static_cast<StreamEngine*>(t->data)->CheckSplices();
      },
      wait, 0);
}

void StreamEngine::CheckSplices() {
  uint64_t now = uv_now(loop_);
  uint64_t next = UINT64_MAX;
  std::vector<uint32_t> idle, full;  // tokens: the end of one splice may end another
  for (auto& entry : pairs_) {
    SplicedPair* pair = entry.second.get();
    bool reached = false;
    for (SpliceWay& way : pair->ways) {
      if (!way.joined) continue;
      CountJoined(*pair, way);
      reached = reached || way.left <= 0;
      next = std::min(next, now + JoinedCheckMs());
    }
    if (reached)
      full.push_back(pair->token);
    else if (pair->idle > 0 && now >= pair->last + pair->idle)
      idle.push_back(pair->token);
    else if (pair->idle > 0)
      next = std::min(next, pair->last + pair->idle);
  }
  for (uint32_t token : full) {
    auto found = pairs_.find(token);
    if (found != pairs_.end()) Advance(*found->second);
  }
  for (uint32_t token : idle) {
    auto found = pairs_.find(token);
    if (found != pairs_.end()) Return(*found->second, SpliceEvent::kIdle, 0);
  }
  if (next != UINT64_MAX) CheckSplicesAt(next);
}

}  // namespace rss
