// StreamEngine: from output rows to the sockets, and the orderly end of a connection.
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

// Sends rows of one connection up to the first that is referred to; returns how many they are.
size_t StreamEngine::FlushOne(const OutputRow* rows, size_t count) {
  constexpr int kParts = 64;
  StreamConnection* c = Find(rows[0].to);
  iovec parts[kParts + 1];  // see Transfer()
  int used = 0;
  size_t total = 0;
  Reference reference;
  size_t at = 0;
  for (; at < count && reference.length == 0; ++at) {
    const OutputRow& row = rows[at];
    if (row.source >= OutputRow::kAcknowledged) {
      if (used > 0) break;  // first what stands before it
      Obey(c, row);
      c = Find(rows[0].to);
      continue;
    }
    // Rows come from JavaScript: one that points outside its buffer is left out.
    if (c == nullptr || row.source >= buffers_.size() || row.length == 0) continue;
    const Buffer& buffer = buffers_[row.source];
    size_t size = buffer.source == nullptr ? buffer.size : buffer.source->size();
    if (row.offset > size || row.length > size - row.offset) continue;
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
  // What ends a message would else be a packet of its own. A paced connection waits for timers
  // then.
  if (c != nullptr && reference.length > 0 && !holding_ &&
      PeerOf(c) != StreamConnection::Peer::kPaced &&
      std::any_of(rows + at, rows + count,
                  [](const OutputRow& row) { return row.source < OutputRow::kAcknowledged; })) {
    HoldBack(c->fd.get(), true);
    holding_ = true;
  }
  if (c != nullptr && (used > 0 || reference.length > 0))
    Send(c, parts, used, total, std::move(reference));
  return at;
}

void StreamEngine::Obey(StreamConnection* c, const OutputRow& row) {
  bool acknowledged = row.source == OutputRow::kAcknowledged;
  if (acknowledged || row.source == OutputRow::kTaken)
    MarkOutput(c, row.to, {row.offset, acknowledged});
  else if (c != nullptr && row.source == OutputRow::kEnd)
    Finish(c);
  else if (c != nullptr)
    Remove(c, 0);
}

void StreamEngine::Send(StreamConnection* c, iovec* parts, int count, size_t total,
                        Reference reference) {
  if (c->finishing) return;
  size_t all = total + reference.length;
  size_t sent = 0;
  if (c->output.empty() && !c->connecting) {
    iovec one[2];
    iovec* from = parts;
    int pieces = count;
    if (count > 1 && total <= kReadSize) {  // cheaper than to have the kernel walk a list
      uint8_t* to = scratch_.get();
      for (int i = 0; i < count; ++i) {
        memcpy(to, parts[i].iov_base, parts[i].iov_len);
        to += parts[i].iov_len;
      }
      one[0] = {scratch_.get(), total};
      from = one;
      pieces = 1;
    }
    ssize_t result = Transfer(c, from, pieces, reference.length > 0 ? &reference : nullptr);
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

// The connection that most memory waits for frees most, and is hardly one that reads.
void StreamEngine::CloseSlowest() {
  StreamConnection* slowest = nullptr;
  for (const auto& c : slots_)
    if (c != nullptr && (slowest == nullptr || c->output.copied() > slowest->output.copied()))
      slowest = c.get();
  Remove(slowest, -ENOBUFS);
}

// Hands `parts`, then what is referred to, to the kernel; `parts` has room for one more. Bytes
// taken, or -errno.
ssize_t StreamEngine::Transfer(StreamConnection* c, iovec* parts, int count,
                               const Reference* reference) {
  statistics_.writes += 1;
  ssize_t sent;
  if (reference == nullptr) {
    sent = SendStream(c->fd.get(), parts, count);
  } else {
    SendSource& source = *reference->source;
    bool shared = false;
    sent = source.Send(c->fd.get(), parts, count, reference->offset, reference->length,
                       Shares(c, *reference), &shared);
    if (shared) {
      statistics_.bytes_shared += static_cast<double>(sent);
      c->shared = true;
    }
  }
  if (sent > 0) {
    options_.counters[c->bucket].bytes_out += static_cast<double>(sent);
    if (c->unconfirmed != nullptr) c->unconfirmed->written += static_cast<double>(sent);
    Active(c);
  }
  return sent;
}

// Whether a segment goes out by sendfile(2).
bool StreamEngine::Shares(StreamConnection* c, const Reference& reference) {
  if (options_.zero_copy == ZeroCopy::kNever || reference.source->segment == nullptr) return false;
  return options_.zero_copy == ZeroCopy::kAlways || reference.length <= kMostPaced ||
         PeerOf(c) != StreamConnection::Peer::kPaced;
}

void StreamEngine::SendQueued(StreamConnection* c) {
  size_t budget = kMostSent;
  while (!c->output.empty()) {
    if (const OutputQueue::Mark* next = c->output.mark()) {
      OutputQueue::Mark mark = *next;
      c->output.RemoveMark();
      Reached(c, mark);
      continue;
    }
    iovec parts[2] = {{const_cast<uint8_t*>(c->output.data()), c->output.bytes()}, {}};
    const Reference* reference = c->output.reference();
    size_t wanted = parts[0].iov_len + (reference == nullptr ? 0 : reference->length);
    ssize_t result = Transfer(c, parts, parts[0].iov_len > 0 ? 1 : 0, reference);
    if (result < 0) {
      if (result != -EAGAIN) Remove(c, static_cast<int>(result));
      return;
    }
    auto sent = static_cast<size_t>(result);
    copied_ -= c->output.copied();
    c->output.Consume(sent);
    copied_ += c->output.copied();
    statistics_.queued -= static_cast<double>(sent);
    if (sent < wanted || (sent >= budget && !c->output.empty())) return;  // called again
    budget -= sent;
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
  // Somebody may wait for acknowledgements, which a closed socket does not tell.
  if (c->ended && c->unconfirmed == nullptr) return Remove(c, 0);
  if (!c->ended) shutdown(c->fd.get(), SHUT_WR);
  c->lingering = true;
  ++lingering_;
  Active(c);
  WatchTimeouts();
  c->input.Consume(c->input.size());
  if (!c->ended) c->events = 0;  // level-triggered again, whatever has been told before
  UpdatePoll(c);
}

void StreamEngine::Remove(StreamConnection* c, int error) {
  LoseMarks(c, error);
  gone_.push_back({c->id, error});
  statistics_.queued -= static_cast<double>(c->output.size());
  copied_ -= c->output.copied();
  if (c->lingering) --lingering_;
  --connections_;
  CountClosed(*c);
  slots_[ConnectionIds::SlotOf(c->id)].reset();
  Schedule();
}

}  // namespace rss
