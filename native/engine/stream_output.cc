// StreamEngine: from output rows to the sockets, and the orderly end of a connection.
#include <string.h>
#include <sys/socket.h>

#include <algorithm>

#include "engine/stream_engine.h"

namespace rss {

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

// --- Ends

void StreamEngine::Finish(StreamConnection* c) {
  if (c->finishing) return;
  c->finishing = true;
  c->input.Consume(c->input.size());
  if (!c->output.empty()) return;  // what waits, for the connection or its peer, is sent first
  if (c->connecting)
    Remove(c, -ECANCELED);
  else
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
  CountClosed(*c);
  slots_[ConnectionIds::SlotOf(c->id)].reset();
  Schedule();
}

}  // namespace rss
