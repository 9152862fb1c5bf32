// Who owns each RSS bucket, and the inbox through which its flows reach the owner.
//
// A BucketTable belongs to the process, not to a worker. What waits in an inbox survives the death
// of its worker and is drained by the worker's replacement.
#pragma once

#include <algorithm>
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "core/connection_limit.h"
#include "core/epochs.h"
#include "core/flow_predictor.h"
#include "core/flow_samples.h"
#include "core/passed_sockets.h"
#include "core/unique_fd.h"

namespace rss {

struct Connection {
  UniqueFd fd;
  Flow flow;
  SocketAddress peer;
  SocketAddress local;
  Place place;
};

struct ForwardedDatagram {
  Flow flow;
  KernelFlow kernel;  // for its reply: IP_FLOWID and IP_FLOWTYPE on transmit
  SocketAddress peer;
  SocketAddress local;  // the address it was sent to
  int endpoint = 0;     // the server's UDP endpoint that received it
  bool truncated = false;
  uint32_t passed = 0;  // ticket of the flow's own socket, which comes instead of a datagram
  std::vector<uint8_t> payload;
};

// Wakes a worker: by a uv_async_t in the engine, by a pipe or a flag in tests. Called from any
// thread, under a lock that Detach() takes too.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void Wake() = 0;
};

class BucketTable {
 public:
  // Limits of one bucket's inbox. Beyond them, the worker that accepted a connection serves it.
  static constexpr size_t kMaxConnections = 4096;
  static constexpr size_t kMaxDatagrams = 1024;

  // `most_connections`: of all workers together; 0: no limit. `placed`: the kernel brings datagrams
  // to the owner of their bucket, so that those in an inbox are older than those in its socket.
  BucketTable(RssConfig config, const std::vector<int>& bucket_to_worker, int workers,
              int most_connections = 0, bool placed = false);

  const FlowClassifier& classifier() const { return classifier_; }
  FlowClassifier& classifier() { return classifier_; }
  FlowPredictor& predictor() { return predictor_; }
  FlowSamples& samples() { return samples_; }
  int workers() const { return static_cast<int>(wakers_.size()); }
  int owner(int bucket) const {
    return buckets_[bucket]->route.load(std::memory_order_acquire) / kRouteOfWorker;
  }
  // Whether a worker serves the bucket's datagrams as it reads them. Otherwise they go through the
  // inbox: to the owner, or behind what the owner has not served yet.
  bool ServesDirectly(int bucket, int worker) const {
    return buckets_[bucket]->route.load(std::memory_order_acquire) == worker * kRouteOfWorker;
  }
  // Moves buckets together with their inboxes. `bucket_to_worker` has as many buckets as before.
  void SetOwners(const std::vector<int>& bucket_to_worker);
  // Changes before any owner does.
  uint32_t moves() const { return moves_.load(std::memory_order_acquire); }

  // Tracks the turns of the workers' stream engines.
  Epochs& epochs() { return epochs_; }
  ConnectionLimit& limit() { return limit_; }
  PassedSockets& passed() { return passed_; }

  // Registers a worker's waker and wakes it, because its inboxes may hold something already.
  void Attach(int worker, Waker* waker);
  void Detach(int worker);

  // False when the inbox is full; the argument is then unchanged. `from`: the worker that has read
  // the datagram.
  bool PushConnection(int bucket, Connection&& connection);
  bool PushDatagram(int bucket, int from, ForwardedDatagram&& datagram);
  // What waits in a bucket's inbox, and the most that ever did.
  struct InboxLength {
    size_t now = 0;
    size_t most = 0;
  };
  InboxLength inbox(int bucket);
  // Puts back what a dying worker has not delivered: at the front of the queue, without a limit.
  void ReturnConnections(std::vector<Connection>&& connections);

  // Appends what waits for this worker's buckets to the vectors, which grow to at most `limit`
  // elements each. True when more is waiting. No other worker can drain datagrams of these buckets
  // until Delivered(), so that a bucket that moves keeps their order.
  bool Drain(int worker, size_t limit, std::vector<Connection>* connections,
             std::vector<ForwardedDatagram>* datagrams);
  // The worker has served the datagrams that it has drained.
  void Delivered(int worker);

 private:
  // A bucket's route: the number of its owner, and kSettling.
  static constexpr int kRouteOfWorker = 2;
  static constexpr int kSettling = 1;  // older datagrams have to be served before the owner's own

  struct Bucket {
    std::atomic<int> route{0};
    std::mutex mutex;
    int deliverer = -1;  // the worker that serves datagrams that it has drained
    // Datagrams since the beginning: put into the inbox, and taken out. The bucket is settled once
    // those before `settled_at` have been served.
    uint64_t pushed = 0, taken = 0, settled_at = 0;
    std::deque<Connection> connections;
    std::deque<ForwardedDatagram> datagrams;
    size_t most = 0;  // elements of both together

    size_t length() const { return connections.size() + datagrams.size(); }
    void NoteLength() { most = std::max(most, length()); }
  };
  struct Wakeup {
    std::mutex mutex;
    Waker* waker = nullptr;
    // Of the worker's own thread:
    size_t next_bucket = 0;  // where the next drain begins, so that no bucket starves another
    std::vector<Bucket*> delivering;
  };

  void Wake(int worker);

  FlowClassifier classifier_;
  FlowPredictor predictor_{classifier_};
  FlowSamples samples_;
  ConnectionLimit limit_;  // outlives the buckets, which hold places
  std::vector<std::unique_ptr<Bucket>> buckets_;
  std::vector<std::unique_ptr<Wakeup>> wakers_;
  Epochs epochs_;
  PassedSockets passed_;
  std::atomic<uint32_t> moves_{0};
  const bool placed_;
};

}  // namespace rss
