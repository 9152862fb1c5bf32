// One connection of the stream engine.
#pragma once

#include <memory>

#include "core/byte_queue.h"
#include "core/connection_limit.h"
#include "engine/ack_tracker.h"
#include "engine/handle.h"
#include "engine/output_queue.h"

namespace rss {

class StreamEngine;

struct StreamConnection {
  enum class Phase : uint8_t {
    kConnecting,
    kConnectingToFinish,  // connecting, and to be finished once its output is sent
    kOpen,
    kFinishing,  // takes no more input or output; ends when its output is sent
    kLingering,  // our side is closed; input is thrown away until the peer's side is too
  };
  enum class InputEnd : uint8_t {
    kOpen,
    kUnreported,  // the peer has closed its side, and JavaScript has not seen that
    kReported,
  };
  enum class Readiness : uint8_t {
    kUnread,  // nothing has been read yet
    kLevel,   // libuv reports input for as long as there is some
    kEdge,    // the kernel reports new input once: see WatchEdges()
  };
  enum class Peer : uint8_t {
    kUnknown,
    kPerhapsHere,  // on this host, as far as the route says
    kPaced,        // the same, and IsPaced()
    kElsewhere,
  };

  StreamConnection(StreamEngine* e, uint32_t name, UniqueFd descriptor)
      : engine(e), id(name), fd(std::move(descriptor)), poll(this) {}

  bool is_connecting() const { return phase <= Phase::kConnectingToFinish; }
  bool is_lingering() const { return phase == Phase::kLingering; }
  // Takes no more input or output.
  bool is_finishing() const {
    return phase >= Phase::kFinishing || phase == Phase::kConnectingToFinish;
  }
  bool has_ended() const { return input_end != InputEnd::kOpen; }

  // What every turn looks at comes first: with thousands of connections, cache lines count.
  StreamEngine* engine;
  uint32_t id;
  UniqueFd fd;
  int events = 0;  // what the poll handle waits for
  Phase phase = Phase::kOpen;
  InputEnd input_end = InputEnd::kOpen;
  Readiness readiness = Readiness::kUnread;
  Peer peer = Peer::kUnknown;
  bool is_unix = false;
  bool hung_up = false;   // the end of the input has been announced
  bool unread = false;    // there may be input in the kernel that no event will report
  bool has_row = false;   // in the table of this turn
  bool requeued = false;  // is in the queue for the next turn
  bool shared = false;    // pages of a source have been sent since the last mark
  uint32_t needed = 0;    // bytes of input before the next row
  int bucket = 0;
  Place place;                     // of an accepted connection
  ByteQueue input;                 // not consumed
  OutputQueue output;              // not taken by the kernel; while there is any, nothing is read
  std::unique_ptr<AckWaits> acks;  // most connections never have any
  Handle<uv_poll_t> poll;
};

static_assert(sizeof(StreamConnection) <= 136, "thousands of them are looked at in every turn");

}  // namespace rss
