// One connection of the stream engine.
#pragma once

#include <memory>

#include "core/byte_queue.h"
#include "core/connection_limit.h"
#include "engine/ack_tracker.h"
#include "engine/handle.h"
#include "engine/output_queue.h"
#include "engine/tls.h"

namespace rss {

class StreamEngine;

struct StreamConnection {
  enum class Phase : uint8_t {
    kHandshaking,  // JavaScript does not know of it yet
    kConnecting,
    kConnectingToFinish,  // connecting; finishes once its output is sent
    kOpen,
    kFinishing,  // takes no more input or output; ends when its output is sent
    kLingering,  // our side is closed; input is discarded until the peer closes its side
  };
  enum class InputEnd : uint8_t {
    kOpen,
    kUnreported,  // the peer has closed its side; no row has reported it yet
    kReported,
  };
  enum class Readiness : uint8_t {
    kUnread,  // nothing has been read yet
    kLevel,   // libuv reports input for as long as there is some
    kEdge,    // the kernel reports new input once: see WatchEdges()
  };
  enum class Peer : uint8_t {
    kUnknown,
    kHere,         // its address is one of this host
    kPerhapsHere,  // by its route, it may be on this host
    kElsewhere,
  };

  enum class AckReports : uint8_t {
    kUnasked,
    kNone,   // there are none: see AckTracker::Prepare()
    kMarks,  // of output that an acknowledged mark follows
    kLast,   // of the last output, too
  };
  enum class Splicing : uint8_t {
    kNo,
    kYes,      // joined to another connection
    kLeaving,  // no longer; nothing is read until JavaScript knows
  };

  StreamConnection(StreamEngine* e, uint32_t name, UniqueFd descriptor)
      : engine(e), id(name), fd(std::move(descriptor)), poll(this) {}

  bool is_handshaking() const { return phase == Phase::kHandshaking; }
  // Not open yet; also while handshaking.
  bool is_connecting() const { return phase <= Phase::kConnectingToFinish; }
  bool is_lingering() const { return phase == Phase::kLingering; }
  // Takes no more input or output.
  bool is_finishing() const {
    return phase >= Phase::kFinishing || phase == Phase::kConnectingToFinish;
  }
  bool is_spliced() const { return splicing == Splicing::kYes; }
  bool takes_input() const { return !has_ended() && splicing == Splicing::kNo; }
  bool has_ended() const { return input_end != InputEnd::kOpen; }
  // Has ciphertext that the kernel has not taken.
  bool has_pending() const { return tls != nullptr && !tls->pending.empty(); }

  // What every turn reads comes first: cache lines count with thousands of connections.
  StreamEngine* engine;
  uint32_t id;
  UniqueFd fd;
  uint8_t events = 0;  // uv_poll_event that the poll handle waits for
  Phase phase = Phase::kOpen;
  InputEnd input_end = InputEnd::kOpen;
  Readiness readiness = Readiness::kUnread;
  Peer peer = Peer::kUnknown;
  bool paced = false;  // IsPaced(), once `peer` is known
  Splicing splicing = Splicing::kNo;
  AckReports ack_reports = AckReports::kUnasked;
  bool is_unix = false;
  bool hung_up = false;      // the poll handle has reported UV_DISCONNECT
  bool unread = false;       // there may be input in the kernel that no event will report
  bool has_row = false;      // has a row in this turn's table
  bool requeued = false;     // queued for the next turn
  bool shared = false;       // pages of a source have been sent since the last mark
  bool awaits_disk = false;  // a FileReader reads what comes next in the output
  uint32_t needed = 0;       // bytes of input before the next row
  int bucket = 0;
  Place place;                      // of an accepted connection
  ByteQueue input;                  // what JavaScript has not consumed
  OutputQueue output;               // not taken by the kernel; nothing is read meanwhile
  std::unique_ptr<AckWaits> acks;   // null while the connection waits for none
  std::unique_ptr<TlsSession> tls;  // null without TLS
  Handle<uv_poll_t> poll;
};

static_assert(sizeof(StreamConnection) <= 136, "a turn reads thousands of them");

}  // namespace rss
