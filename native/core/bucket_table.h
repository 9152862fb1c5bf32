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
  SocketAddress peer;
  SocketAddress local;  // the address it was sent to
  int endpoint = 0;     // the server's UDP endpoint that received it
  bool truncated = false;
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

  // `most_connections`: of all workers together; 0: no limit.
  BucketTable(RssConfig config, const std::vector<int>& bucket_to_worker, int workers,
              int most_connections = 0);

  const FlowClassifier& classifier() const { return classifier_; }
  FlowClassifier& classifier() { return classifier_; }
  FlowPredictor& predictor() { return predictor_; }
  FlowSamples& samples() { return samples_; }
  int workers() const { return static_cast<int>(wakers_.size()); }
  int owner(int bucket) const { return buckets_[bucket]->owner.load(std::memory_order_relaxed); }
  // Moves buckets together with their inboxes. `bucket_to_worker` has as many buckets as before.
  void SetOwners(const std::vector<int>& bucket_to_worker);

  // Tracks the turns of the workers' stream engines.
  Epochs& epochs() { return epochs_; }
  ConnectionLimit& limit() { return limit_; }

  // Registers a worker's waker and wakes it, because its inboxes may hold something already.
  void Attach(int worker, Waker* waker);
  void Detach(int worker);

  // False when the inbox is full; the argument is then unchanged.
  bool PushConnection(int bucket, Connection&& connection);
  bool PushDatagram(int bucket, ForwardedDatagram&& datagram);
  // What waits in a bucket's inbox, and the most that ever did.
  struct InboxLength {
    size_t now = 0;
    size_t most = 0;
  };
  InboxLength inbox(int bucket);
  // Puts back what a dying worker has not delivered: at the front of the queue, without a limit.
  void ReturnConnections(std::vector<Connection>&& connections);

  // Appends what waits for this worker's buckets to the vectors, which grow to at most `limit`
  // elements each. True when more is waiting.
  bool Drain(int worker, size_t limit, std::vector<Connection>* connections,
             std::vector<ForwardedDatagram>* datagrams);

 private:
  struct Bucket {
    std::atomic<int> owner{0};
    std::mutex mutex;
    std::deque<Connection> connections;
    std::deque<ForwardedDatagram> datagrams;
    size_t most = 0;  // elements of both together

    size_t length() const { return connections.size() + datagrams.size(); }
    void NoteLength() { most = std::max(most, length()); }
  };
  struct Wakeup {
    std::mutex mutex;
    Waker* waker = nullptr;
    size_t next_bucket = 0;  // where the next drain begins, so that no bucket starves another
  };

  void Wake(int worker);

  FlowClassifier classifier_;
  FlowPredictor predictor_{classifier_};
  FlowSamples samples_;
  ConnectionLimit limit_;  // outlives the buckets, which hold places
  std::vector<std::unique_ptr<Bucket>> buckets_;
  std::vector<std::unique_ptr<Wakeup>> wakers_;
  Epochs epochs_;
};

}  // namespace rss
