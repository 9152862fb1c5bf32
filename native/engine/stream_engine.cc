#include "engine/stream_engine.h"

#include <string.h>
#include <sys/socket.h>

#include <algorithm>

namespace rss {

StreamEngine::StreamEngine(uv_loop_t* loop, std::shared_ptr<BucketTable> table,
                           const StreamOptions& options, StreamSink* sink)
    : loop_(loop),
      table_(std::move(table)),
      options_(options),
      sink_(sink),
      check_(this),
      idle_(this),
      timer_(this),
      scratch_(new uint8_t[kReadSize]) {
  uv_check_init(loop_, check_.get());
  check_.set_initialized();
  uv_check_start(check_.get(), [](uv_check_t* h) {
    if (h->data != nullptr) static_cast<StreamEngine*>(h->data)->OnCheck();
  });
  uv_unref(reinterpret_cast<uv_handle_t*>(check_.get()));
  uv_idle_init(loop_, idle_.get());
  idle_.set_initialized();
  uv_timer_init(loop_, timer_.get());
  timer_.set_initialized();
  uv_unref(reinterpret_cast<uv_handle_t*>(timer_.get()));
}

void StreamEngine::Close() {
  if (closed_) return;
  closed_ = true;
  epochs().Leave(options_.worker);
  check_.Close();
  idle_.Close();
  timer_.Close();
  slots_.clear();
  connections_ = 0;
}

// --- Connections come
// -----------------------------------------------------------------------------

Result<StreamConnection*> StreamEngine::Add(UniqueFd fd) {
  uint32_t id = ids_.Allocate();
  if (id == 0) return MakeFailure(EMFILE, "open", "too many connections");
  uint32_t slot = ConnectionIds::SlotOf(id);
  if (slot >= slots_.size()) {
    slots_.resize(slot + 1);
    active_.resize(slot + 1);
  }
  auto connection = std::make_unique<StreamConnection>(this, id, std::move(fd));
  int error = uv_poll_init(loop_, connection->poll.get(), connection->fd.get());
  if (error != 0) {
    ids_.Free(id);
    return Failure{error, "uv_poll_init", nullptr, {}};
  }
  connection->poll.set_initialized();
  StreamConnection* c = connection.get();
  slots_[slot] = std::move(connection);
  ++connections_;
  Active(c);
  WatchTimeouts();
  return c;
}

void StreamEngine::Report(StreamConnection* c, const Flow& flow) {
  c->bucket = flow.bucket;
  opened_.push_back({c->id,
                     static_cast<uint32_t>(flow.bucket),
                     flow.flow_id,
                     flow.hash_type,
                     flow.from_kernel,
                     {}});
  if (ending_) {
    c->draining = true;
    Carry(c);
  }
  Schedule();
}

void StreamEngine::Open(Connection&& connection) {
  if (closed_) return;
  auto added = Add(std::move(connection.fd));
  if (!added.ok()) return;
  Report(added.value, connection.flow);
  UpdatePoll(added.value);
}

Result<uint32_t> StreamEngine::Connect(Result<UniqueFd> socket) {
  if (!socket.ok()) return socket.failure;
  if (closed_ || ending_) return MakeFailure(ECANCELED, "connect", "the worker is closing");
  auto added = Add(std::move(socket.value));
  if (!added.ok()) return added.failure;
  added.value->connecting = true;
  UpdatePoll(added.value);
  return added.value->id;
}

void StreamEngine::OnConnected(StreamConnection* c) {
  int error = ConnectError(c->fd.get());
  if (error != 0) return Remove(c, error);
  c->connecting = false;
  SocketAddress local, peer;
  Flow flow;
  if (Endpoints(c->fd.get(), &local, &peer).ok() && local.family() != AF_UNIX)
    flow = table_->classifier().Classify(Transport::kTcp, KernelFlow(), peer, local);
  Active(c);
  Report(c, flow);
  SendQueued(c);
}

void StreamEngine::UpdatePoll(StreamConnection* c) {
  int events = 0;
  if (c->connecting || !c->output.empty())
    events = UV_WRITABLE;
  else if (!c->ended && !CanGoOn(c))  // what has been read comes first
    events = UV_READABLE | UV_DISCONNECT;
  if (events == c->events) return;
  c->events = events;
  c->edge = false;  // libuv registers level-triggered
  if (events == 0)
    uv_poll_stop(c->poll.get());
  else
    uv_poll_start(c->poll.get(), events, OnPoll);
}

void StreamEngine::OnPoll(uv_poll_t* poll, int status, int events) {
  auto* c = static_cast<StreamConnection*>(poll->data);
  if (c == nullptr) return;
  StreamEngine* engine = c->engine;
  engine->statistics_.callbacks += 1;
  // libuv stops a handle on POLLERR. What is wrong, the next call on the socket tells.
  if (status < 0) {
    events = c->events;
    uv_poll_start(poll, c->events, OnPoll);
  }
  if (c->connecting)
    engine->OnConnected(c);
  else if ((events & UV_WRITABLE) != 0)
    engine->SendQueued(c);
  else {
    if ((events & UV_DISCONNECT) != 0) c->hung_up = true;
    engine->Receive(c->id);
  }
}

// --- Input
// ------------------------------------------------------------------------------------------

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

void StreamEngine::Receive(uint32_t id) {
  if (Find(id)->lingering) return Discard(Find(id));
  if (!MakeRoom(id, kReadSize)) return;
  StreamConnection* c = Find(id);
  // Not at once: many connections make one request only.
  if (c->returning && !c->edge) c->edge = WatchEdges(uv_backend_fd(loop_), c->fd.get());
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
    else if (c->unread && !c->offered)
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
  if (received <= 0 && received != -EAGAIN) Remove(c, 0);
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
      Receive(id);
  }
}

// --- Turns
// ------------------------------------------------------------------------------------------

void StreamEngine::Schedule() {
  if (!closed_ && uv_is_active(reinterpret_cast<uv_handle_t*>(idle_.get())) == 0)
    uv_idle_start(idle_.get(), [](uv_idle_t*) {});
}

void StreamEngine::OnCheck() {
  if (!carried_.empty()) ServeCarriedOver();
  if (closed_) return;
  if (rows_ > 0 || !opened_.empty() || !gone_.empty()) RunTurn();
  if (!closed_ && carried_.empty() && opened_.empty() && gone_.empty()) uv_idle_stop(idle_.get());
}

void StreamEngine::RunTurn() {
  if (in_turn_) return;
  in_turn_ = true;
  epochs().Enter(options_.worker);
  // A connection is told of before its data is: all openings, then the rows, then the ends.
  size_t opened;
  for (;;) {
    opened = std::min(opened_.size(), options_.event_rows);
    std::copy_n(opened_.begin(), opened, options_.opened);
    opened_.erase(opened_.begin(), opened_.begin() + static_cast<ptrdiff_t>(opened));
    if (opened_.empty()) break;
    statistics_.turns += 1;
    sink_->OnTurn(opened, 0, 0);
    if (closed_) return;
  }
  size_t rows = rows_;
  size_t gone = std::min(gone_.size(), options_.event_rows);
  std::copy_n(gone_.begin(), gone, options_.closed);
  gone_.erase(gone_.begin(), gone_.begin() + static_cast<ptrdiff_t>(gone));
  statistics_.turns += 1;
  sink_->OnTurn(opened, rows, gone);
  if (closed_) return;
  epochs().Leave(options_.worker);
  for (size_t i = 0; i < rows; ++i) Settle(options_.inputs[i]);
  // Only now: who keeps tables by slot has heard of the end.
  for (size_t i = 0; i < gone; ++i) ids_.Free(options_.closed[i].connection);
  rows_ = 0;
  slab_used_ = 0;
  in_turn_ = false;
  if (!opened_.empty() || !gone_.empty()) Schedule();
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

// --- Output
// -----------------------------------------------------------------------------------------

uint32_t StreamEngine::AddBuffer(const uint8_t* data, size_t size) {
  buffers_.push_back({data, size});
  return static_cast<uint32_t>(buffers_.size() - 1);
}

void StreamEngine::Flush(const OutputRow* rows, size_t count) {
  for (size_t at = 0; at < count && !closed_;) at += FlushOne(rows + at, count - at);
}

// Sends the rows of one connection that stand together; returns how many they are.
size_t StreamEngine::FlushOne(const OutputRow* rows, size_t count) {
  constexpr int kParts = 64;
  StreamConnection* c = Find(rows[0].connection);
  iovec parts[kParts];
  int used = 0;
  size_t total = 0;
  size_t at = 0;
  for (; at < count && rows[at].connection == rows[0].connection; ++at) {
    const OutputRow& row = rows[at];
    if (c == nullptr) continue;
    if (row.buffer >= OutputRow::kDestroy) {
      if (used > 0) break;  // first what stands before it
      row.buffer == OutputRow::kEnd ? Finish(c) : Remove(c, 0);
      c = Find(rows[0].connection);
      continue;
    }
    // Rows come from JavaScript: one that points outside its buffer is left out.
    if (row.buffer >= buffers_.size() || row.length == 0) continue;
    const Buffer& buffer = buffers_[row.buffer];
    if (row.offset > buffer.size || row.length > buffer.size - row.offset) continue;
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
  if (c != nullptr && used > 0) Send(c, parts, used, total);
  return at;
}

void StreamEngine::Send(StreamConnection* c, iovec* parts, int count, size_t total) {
  if (c->finishing) return;
  size_t sent = 0;
  if (c->output.empty() && !c->connecting) {
    iovec one;
    iovec* from = parts;
    int pieces = count;
    if (count > 1 && total <= kReadSize) {  // cheaper than to have the kernel walk a list
      uint8_t* to = scratch_.get();
      for (int i = 0; i < count; ++i) {
        memcpy(to, parts[i].iov_base, parts[i].iov_len);
        to += parts[i].iov_len;
      }
      one = {scratch_.get(), total};
      from = &one;
      pieces = 1;
    }
    statistics_.writes += 1;
    ssize_t result = SendStream(c->fd.get(), from, pieces);
    if (result < 0 && result != -EAGAIN) return Remove(c, static_cast<int>(result));
    if (result > 0) {
      sent = static_cast<size_t>(result);
      options_.counters[c->bucket].bytes_out += static_cast<double>(sent);
      Active(c);
    }
    if (sent == total) return;
    statistics_.short_writes += 1;
  } else if (c->output.size() > options_.max_queued) {
    return Remove(c, -ENOBUFS);
  }
  if (total - sent > ByteQueue::kMost - c->output.size()) return Remove(c, -ENOBUFS);
  statistics_.queued += static_cast<double>(total - sent);
  for (int i = 0; i < count; ++i) {
    size_t skip = std::min(sent, parts[i].iov_len);
    sent -= skip;
    c->output.Append(static_cast<uint8_t*>(parts[i].iov_base) + skip, parts[i].iov_len - skip);
  }
  UpdatePoll(c);
}

void StreamEngine::SendQueued(StreamConnection* c) {
  if (!c->output.empty()) {
    iovec part{const_cast<uint8_t*>(c->output.data()), c->output.size()};
    statistics_.writes += 1;
    ssize_t sent = SendStream(c->fd.get(), &part, 1);
    if (sent < 0) {
      if (sent != -EAGAIN) Remove(c, static_cast<int>(sent));
      return;
    }
    c->output.Consume(static_cast<size_t>(sent));
    statistics_.queued -= static_cast<double>(sent);
    options_.counters[c->bucket].bytes_out += static_cast<double>(sent);
    Active(c);
    if (!c->output.empty()) return;
  }
  if (c->finishing) return Linger(c);
  UpdatePoll(c);
  if (c->offered) return;  // it goes on when its row is settled
  if (CanGoOn(c) || c->draining || (c->ended && !options_.half_open)) Carry(c);
}

// --- Connections go
// ---------------------------------------------------------------------------------

void StreamEngine::Finish(StreamConnection* c) {
  if (c->finishing) return;
  c->finishing = true;
  c->input.Consume(c->input.size());
  if (c->connecting)
    Remove(c, -ECANCELED);
  else if (c->output.empty())
    Linger(c);
}

// Closing a socket with unread input makes a reset of it, which takes answers along that the peer
// has not read yet: so our side is closed, and the rest read until the peer's is too.
void StreamEngine::Linger(StreamConnection* c) {
  if (c->ended) return Remove(c, 0);
  shutdown(c->fd.get(), SHUT_WR);
  c->lingering = true;
  ++lingering_;
  Active(c);
  WatchTimeouts();
  c->input.Consume(c->input.size());
  c->events = 0;  // level-triggered again, whatever has been told before
  UpdatePoll(c);
}

void StreamEngine::Remove(StreamConnection* c, int error) {
  gone_.push_back({c->id, error});
  statistics_.queued -= static_cast<double>(c->output.size());
  if (c->lingering) --lingering_;
  --connections_;
  slots_[ConnectionIds::SlotOf(c->id)].reset();
  Schedule();
}

bool StreamEngine::Detach(uint32_t id, UniqueFd* fd, ByteQueue* input, ByteQueue* output) {
  StreamConnection* c = Find(id);
  if (c == nullptr || c->connecting || c->finishing) return false;
  statistics_.queued -= static_cast<double>(c->output.size());
  --connections_;
  c->poll.Close();  // before the number is somebody else's
  *fd = std::move(c->fd);
  *input = std::move(c->input);
  *output = std::move(c->output);
  slots_[ConnectionIds::SlotOf(id)].reset();
  ids_.Free(id);
  return true;
}

Status StreamEngine::Addresses(uint32_t id, SocketAddress* local, SocketAddress* peer) const {
  const StreamConnection* c = Find(id);
  if (c == nullptr) return MakeFailure(ENOTCONN, "getpeername", "the connection has ended");
  return Endpoints(c->fd.get(), local, peer);
}

void StreamEngine::EndAll() {
  ending_ = true;
  for (auto& slot : slots_) {
    if (slot == nullptr) continue;
    slot->draining = true;
    if (slot->connecting)
      Remove(slot.get(), -ECANCELED);
    else
      Carry(slot.get());
  }
}

// --- Timeouts
// ---------------------------------------------------------------------------------------

void StreamEngine::Active(const StreamConnection* c) {
  if (options_.idle_timeout == 0 && !c->lingering) return;
  active_[ConnectionIds::SlotOf(c->id)] = uv_now(loop_);
}

void StreamEngine::WatchTimeouts() {
  uint64_t idle = options_.idle_timeout;
  if ((idle == 0 && lingering_ == 0) || closed_) return;
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(timer_.get())) != 0) return;
  uint64_t period = idle == 0 ? 1000 : std::min<uint64_t>(std::max<uint64_t>(idle / 4, 10), 1000);
  uv_timer_start(
      timer_.get(),
      [](uv_timer_t* h) {
        if (h->data != nullptr) static_cast<StreamEngine*>(h->data)->CheckTimeouts();
      },
      period, 0);
}

void StreamEngine::CheckTimeouts() {
  uint64_t now = uv_now(loop_);
  for (size_t slot = 0; slot < slots_.size(); ++slot) {
    uint64_t quiet = now - active_[slot];
    if (quiet < options_.idle_timeout && quiet < kLingerMs) continue;
    StreamConnection* c = slots_[slot].get();
    if (c == nullptr) continue;
    if (c->lingering && quiet >= kLingerMs)
      Remove(c, 0);
    else if (options_.idle_timeout > 0 && quiet >= options_.idle_timeout)
      Remove(c, -ETIMEDOUT);
  }
  if (connections_ > 0) WatchTimeouts();
}

StreamStatistics StreamEngine::statistics() const {
  StreamStatistics now = statistics_;
  now.connections = static_cast<double>(connections_);
  return now;
}

}  // namespace rss
