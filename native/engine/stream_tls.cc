// TLS in StreamEngine: handshakes, and the ciphertext between sockets and rows.
#include <string.h>

#include <algorithm>

#include "engine/stream_engine.h"

namespace rss {
namespace {

// Plaintext that is encrypted before the kernel is asked to take it.
constexpr size_t kSealedAtOnce = 4 * TlsSession::kRecord;

// Reads output, which consists of parts and a reference, a record at a time.
class PlainOutput {
 public:
  PlainOutput(const iovec* parts, int count, const OutputQueue::Reference* reference)
      : parts_(parts), count_(count), reference_(reference) {}

  bool empty() const { return part_ == count_ && RestOfReference() == 0; }

  void Skip(size_t bytes) {
    while (bytes > 0 && !empty()) bytes -= Advance(bytes);
  }

  // The next bytes, at most a record of them. They lie in `buffer` or in the output. Returns their
  // number, or -errno when a file cannot be read.
  ssize_t Next(uint8_t* buffer, const uint8_t** bytes) {
    size_t used = 0;
    while (used < TlsSession::kRecord && !empty()) {
      size_t wanted = std::min(TlsSession::kRecord - used, Available());
      const uint8_t* data = Data();
      bool all = used == 0 && (wanted == TlsSession::kRecord || IsLast(wanted));
      if (data != nullptr && all) {
        *bytes = data;
        return static_cast<ssize_t>(Advance(wanted));
      }
      if (data != nullptr) {
        memcpy(buffer + used, data, wanted);
      } else {
        ssize_t got =
            reference_->source->Read(buffer + used, reference_->offset + referred_, wanted);
        if (got < 0) return got;
        wanted = static_cast<size_t>(got);
      }
      used += Advance(wanted);
    }
    *bytes = buffer;
    return static_cast<ssize_t>(used);
  }

 private:
  size_t RestOfReference() const {
    return reference_ == nullptr ? 0 : reference_->length - referred_;
  }
  size_t Available() const {
    return part_ < count_ ? parts_[part_].iov_len - offset_ : RestOfReference();
  }
  bool IsLast(size_t bytes) const {
    if (part_ == count_) return bytes == RestOfReference();
    return part_ + 1 == count_ && RestOfReference() == 0 && bytes == Available();
  }
  // Null: in a file.
  const uint8_t* Data() const {
    if (part_ < count_) return static_cast<const uint8_t*>(parts_[part_].iov_base) + offset_;
    const auto& segment = reference_->source->segment;
    return segment == nullptr ? nullptr : segment->data() + reference_->offset + referred_;
  }
  size_t Advance(size_t bytes) {
    size_t moved = std::min(bytes, Available());
    if (part_ == count_) {
      referred_ += moved;
    } else if ((offset_ += moved) == parts_[part_].iov_len) {
      ++part_;
      offset_ = 0;
    }
    return moved;
  }

  const iovec* parts_;
  int count_;
  const OutputQueue::Reference* reference_;
  int part_ = 0;
  size_t offset_ = 0;    // in the part
  size_t referred_ = 0;  // bytes of the reference that have been read
};

}  // namespace

Status StreamEngine::SetTls(const TlsOptions& options) {
  auto context = TlsContext::Make(options);
  if (!context.ok()) return context.failure;
  if (tls_ == nullptr) tls_ = std::make_unique<Tls>();
  tls_->context = std::move(*context);
  // Set once, before the first connection: later calls change keys and certificates only.
  if (tls_->timeout == 0) {
    tls_->timeout = options.handshake_timeout;
    idle_timer_.Shorten(tls_->timeout);
  }
  return Nothing{};
}

// --- Handshake -----------------------------------------------------------------------------------

// False: there is no memory for it.
bool StreamEngine::BeginHandshake(StreamConnection* c, const Flow& flow) {
  c->tls = TlsSession::Make(*tls_->context, &tls_->buffers);
  c->phase = StreamConnection::Phase::kHandshaking;
  if (options_.idle_timeout == 0) idle_timer_.Watch(ConnectionIds::SlotOf(c->id));
  if (c->tls == nullptr) return false;
  c->bucket = flow.bucket;
  c->tls->flow = flow;
  return true;
}

// A handshake does not Touch() its connection, so that a client cannot draw it out.
void StreamEngine::Handshake(StreamConnection* c) {
  TlsSession& tls = *c->tls;
  if (!SendSealed(c)) return;
  ssize_t received = ReceiveStream(c->fd.get(), tls_->received.get(), kReadSize);
  if (received == -EAGAIN) return UpdatePoll(c);
  if (received <= 0) return Remove(c, static_cast<int>(received));
  statistics_.reads += 1;
  tls_->buffers.in = tls_->received.get();
  tls_->buffers.in_left = static_cast<size_t>(received);
  int state = tls.Handshake();
  if (state <= 0) {
    if (!SendSealed(c)) return;  // also the alert that says why it has failed
    return state < 0 ? Remove(c, state) : UpdatePoll(c);
  }
  options_.counters[c->bucket].served += 1;
  options_.counters[c->bucket].handshakes += 1;
  c->phase = StreamConnection::Phase::kOpen;
  if (options_.idle_timeout == 0)
    idle_timer_.Unwatch();
  else
    Touch(c);
  size_t left = tls_->buffers.in_left;
  if (left > 0) {  // requests that have arrived with the end of the handshake
    size_t room = left + TlsSession::kRecord;
    bool ended = false;
    ssize_t count = tls.Unseal(c->input.Reserve(room), room, &ended);
    if (count > 0) {
      options_.counters[c->bucket].bytes_in += static_cast<double>(count);
      c->input.Commit(static_cast<size_t>(count));
    }
    if (ended) c->input_end = StreamConnection::InputEnd::kUnreported;
    ReportOpened(c, tls.flow);
    if (!SendSealed(c)) return;  // SendQueued() goes on
    if (count < 0) return Remove(c, static_cast<int>(count));
  } else {
    ReportOpened(c, tls.flow);
    if (!SendSealed(c)) return;
  }
  if (CanDeliver(c)) Requeue(c);
  UpdatePoll(c);
}

// The end of a connection that JavaScript has not been told about. The empty row lets the worker
// see that there is one connection fewer.
void StreamEngine::RemoveUnopened(StreamConnection* c) {
  options_.counters[c->bucket].handshakes_failed += 1;
  idle_timer_.Unwatch();
  closed_rows_.push_back({0, 0});
  --connections_;
  ids_.Free(c->id);
  slots_[ConnectionIds::SlotOf(c->id)].reset();
  Schedule();
}

// --- Input ---------------------------------------------------------------------------------------

// Receives at most `size` bytes of ciphertext, `*taken`, and decrypts them. `to` must have room for
// a record more. Returns as ReceiveStream() does: -EAGAIN when there is no complete record.
ssize_t StreamEngine::ReceiveSealed(StreamConnection* c, uint8_t* to, size_t size, size_t* taken) {
  ssize_t received = ReceiveStream(c->fd.get(), tls_->received.get(), size);
  *taken = static_cast<size_t>(std::max<ssize_t>(received, 0));
  if (received <= 0) return received;
  Touch(c);
  tls_->buffers.in = tls_->received.get();
  tls_->buffers.in_left = *taken;
  bool ended = false;
  ssize_t count = c->tls->Unseal(to, size + TlsSession::kRecord, &ended);
  int error = TakeSealed(c);  // alerts
  if (error != 0) return error;
  if (!c->tls->pending.empty()) UpdatePoll(c);
  if (ended) c->input_end = StreamConnection::InputEnd::kUnreported;
  return count != 0 || ended ? count : -EAGAIN;
}

// --- Output --------------------------------------------------------------------------------------

// Gives ciphertext to the kernel. What it does not take stays in the session. Returns 0 or -errno.
int StreamEngine::TakeSealed(StreamConnection* c, bool report_ack) {
  ByteQueue& pending = c->tls->pending;
  auto& out = tls_->buffers.out;
  if (!pending.empty()) {
    pending.Append(out.data(), out.size());
    out.clear();
  }
  bool fresh = pending.empty();
  const uint8_t* bytes = fresh ? out.data() : pending.data();
  size_t size = fresh ? out.size() : pending.size();
  if (size == 0) return 0;
  iovec part{const_cast<uint8_t*>(bytes), size};
  ssize_t result = SendStream(c->fd.get(), &part, 1, report_ack);
  size_t sent = result > 0 ? static_cast<size_t>(result) : 0;
  statistics_.writes += 1;
  if (c->acks != nullptr) ack_tracker_.Written(c->id, sent, c->acks.get());
  if (fresh) {
    pending.Append(out.data() + sent, out.size() - sent);
    out.clear();
  } else {
    pending.Consume(sent);
  }
  return result < 0 && result != -EAGAIN ? static_cast<int>(result) : 0;
}

// Sends ciphertext that does not belong to output: of the handshake, alerts, the end. False: some
// is left for the next event, or the connection has been removed.
bool StreamEngine::SendSealed(StreamConnection* c) {
  int error = TakeSealed(c);
  if (error != 0) {
    Remove(c, error);
    return false;
  }
  if (c->tls->pending.empty()) return true;
  UpdatePoll(c);
  return false;
}

// As Transfer(), for its TLS connections. Plaintext counts as taken once the kernel has all of its
// ciphertext; until then it stays in the connection's output.
ssize_t StreamEngine::TransferSealed(StreamConnection* c, const iovec* parts, int count,
                                     const Reference* reference, bool report_ack) {
  TlsSession& tls = *c->tls;
  int error = TakeSealed(c, report_ack);
  if (error != 0) return error;
  if (!tls.pending.empty()) return -EAGAIN;
  size_t done = std::exchange(tls.sealed, 0);
  PlainOutput output(parts, count, reference);
  output.Skip(done);
  bool waits = false;
  while (!output.empty() && !waits && done < kMostSent) {
    size_t sealed = 0;
    while (!output.empty() && sealed < kSealedAtOnce) {
      const uint8_t* bytes = nullptr;
      ssize_t length = output.Next(tls_->gathered.get(), &bytes);
      waits = length == -EBUSY && done + sealed > 0;  // the next call says so
      if (waits) break;
      if (length > 0 && !tls.Seal(bytes, static_cast<size_t>(length))) length = -EPROTO;
      if (length < 0) {
        tls_->buffers.out.clear();
        return length;
      }
      sealed += static_cast<size_t>(length);
    }
    error = TakeSealed(c, report_ack);
    if (error != 0) return error;
    if (!tls.pending.empty()) {
      tls.sealed = sealed;
      break;
    }
    done += sealed;
  }
  return static_cast<ssize_t>(done);
}

// Sends close_notify. False: call it again after the next event, or the connection is removed.
bool StreamEngine::SealEnd(StreamConnection* c) {
  if (!c->tls->ending) c->tls->SealEnd();
  return SendSealed(c);
}

}  // namespace rss
