// Accepts connections and decides which worker serves them: this one, or their bucket's owner.
#pragma once

#include <memory>
#include <vector>

#include "engine/connection_receiver.h"
#include "engine/engine_context.h"
#include "engine/handle.h"
#include "engine/misdirection_log.h"
#include "engine/polled_socket.h"

namespace rss {

class AcceptSink {
 public:
  virtual ~AcceptSink() = default;
  // Accepting pauses for kErrorPauseMs: descriptors or memory are exhausted.
  virtual void OnAcceptError(int error) = 0;
};

struct AcceptorOptions {
  bool hand_off = false;          // give connections to their bucket's owner
  bool hand_off_unhashed = true;  // also those whose bucket is not by an id of the kernel
  int default_bucket = 0;         // the bucket of Unix connections; also counts pauses
};

class Acceptor {
 public:
  // The most connections accepted per event, so that no socket starves another.
  static constexpr size_t kAcceptsPerTurn = 64;
  static constexpr int kErrorPauseMs = 100;
  static constexpr int kLimitPauseMs = 10;  // at the connection limit

  Acceptor(const EngineContext& context, const AcceptorOptions& options, MisdirectionLog* log,
           ConnectionReceiver* receiver, AcceptSink* sink);
  ~Acceptor();

  // Duplicates the descriptor.
  Status AddListener(int fd);
  Status Start();
  void SetHandOff(bool hand_off, bool unhashed) {
    options_.hand_off = hand_off;
    options_.hand_off_unhashed = unhashed;
  }
  // Closes the listeners. With `queued`, first accepts what is queued, even past the limit.
  void Stop(bool queued);
  // Idempotent.
  void Close();

 private:
  class Listener;
  using Listeners = std::vector<std::unique_ptr<Listener>>;

  size_t Accept(Listener* listener);
  bool HandOff(Connection* connection);
  void EndPass();
  void PauseAtLimit();
  void Pause(int milliseconds);
  void CountPause();
  void Resume();

  const EngineContext& context_;
  AcceptorOptions options_;
  MisdirectionLog* log_;
  ConnectionReceiver* receiver_;
  AcceptSink* sink_;
  Handle<uv_timer_t> pause_timer_;
  Listeners listeners_;
  bool at_limit_ = false;      // nothing has been accepted since the limit was reached
  uint64_t paused_since_ = 0;  // ns; 0: not paused by the limit
  bool stopping_ = false;
  bool closed_ = false;
};

}  // namespace rss
