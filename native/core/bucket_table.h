// Who owns each RSS bucket, and the inbox through which its flows reach the owner.
//
// A BucketTable belongs to the process, not to a worker. What waits in an inbox survives the death
// of its worker and is drained by the worker's replacement. The queues need no lock, and no push
// takes one. The mutex of a bucket is for what a move changes: the owner, and who may take
// datagrams.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "core/bounded_queue.h"
#include "core/connection_limit.h"
#include "core/datagram_ring.h"
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

// Wakes a worker: by a uv_async_t in the engine, by a pipe or a flag in tests. Called from any
// thread, under a lock that Detach() takes too.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void Wake() = 0;
};

class BucketTable {
 public:
  // The most connections in one bucket's inbox. DatagramRing says how many datagrams fit. Beyond
  // that, what a worker accepts or reads is served there.
  static constexpr size_t kMaxConnections = 4096;

  // `most_connections`: of all workers together; 0: no limit. `placed`: the kernel brings datagrams
  // to the owner of their bucket, so that those in an inbox are older than those in its socket.
  BucketTable(RssConfig config, const std::vector<int>& bucket_to_worker, int workers,
              int most_connections = 0, bool placed = false);

  const FlowClassifier& classifier() const { return classifier_; }
  FlowClassifier& classifier() { return classifier_; }
  FlowPredictor& predictor() { return predictor_; }
  FlowSamples& samples() { return samples_; }
  int workers() const { return static_cast<int>(workers_.size()); }
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

  // False when the inbox is full; a connection is then unchanged. `from`: the worker that has
  // accepted or read it. Its thread calls WakeOwners() after a batch of pushes, and before
  // JavaScript runs.
  bool PushConnection(int bucket, int from, Connection&& connection);
  bool PushDatagram(int bucket, int from, const ForwardedDatagram& datagram,
                    const uint8_t* payload);
  // Wakes the owners of the inboxes that `from` has pushed to, each once.
  void WakeOwners(int from);
  // What waits in a bucket's inbox, and the most that ever did.
  struct InboxLength {
    size_t now = 0;
    size_t most = 0;
  };
  InboxLength inbox(int bucket) const;
  // Puts back what a dying worker has not delivered: ahead of the queue, without a limit.
  void ReturnConnections(std::vector<Connection>&& connections);

  // Appends connections that wait for this worker's buckets to `connections`, which grows to at
  // most `limit`. True when more are waiting.
  bool DrainConnections(int worker, size_t limit, std::vector<Connection>* connections);
  // Gives up to `limit` datagrams to `receiver`. True when more are waiting. No other worker can
  // drain datagrams of their buckets until Delivered(), so that a bucket that moves keeps their
  // order.
  bool DrainDatagrams(int worker, size_t limit, DatagramReceiver* receiver);
  // The worker has served the datagrams that it has drained.
  void Delivered(int worker) { EndDelivery(worker, true); }
  // It cannot serve them: they are drained again, by the worker that replaces it.
  void Undelivered(int worker) { EndDelivery(worker, false); }

 private:
  // A bucket's route: the number of its owner, and kSettling.
  static constexpr int kRouteOfWorker = 2;
  static constexpr int kSettling = 1;  // older datagrams have to be served before the owner's own

  struct Bucket {
    std::atomic<int> route{0};
    std::atomic<size_t> most{0};  // connections and datagrams together
    BoundedQueue<Connection, kMaxConnections> connections;
    DatagramRing datagrams;

    // The bucket is settled once the datagrams before this position of the ring have been served.
    std::atomic<uint64_t> settled_at{0};

    std::mutex mutex;    // for what follows, for the owner in `route`, and for Settle()
    int deliverer = -1;  // the worker that serves datagrams that it has drained
    std::vector<Connection> returned;  // the first to be drained is the last
    std::atomic<bool> has_returned{false};

    size_t length() const { return connections.length() + datagrams.length(); }
    void NoteLength();
    // The owner serves what it reads behind all that the ring has now.
    void Unsettle();
    // Ends that, if it can.
    void Settle();
    bool settled() const { return deliverer < 0 && datagrams.head() >= settled_at.load(); }
  };
  struct Worker {
    std::mutex mutex;
    Waker* waker = nullptr;
    // Of the worker's own thread:
    std::vector<char> pushed_to;  // by worker; 1: WakeOwners() wakes it
    bool has_pushed = false;
    size_t first_bucket = 0;  // of a drain; another one each time, so that none starves the rest
    std::vector<Bucket*> delivering;
  };

  Bucket* OwnedBy(int worker, size_t i) const;
  void EndDelivery(int worker, bool served);
  void NotePush(int from, int to);
  void Wake(int worker);

  FlowClassifier classifier_;
  FlowPredictor predictor_{classifier_};
  FlowSamples samples_;
  ConnectionLimit limit_;  // outlives the buckets, which hold places
  std::vector<std::unique_ptr<Bucket>> buckets_;
  std::vector<std::unique_ptr<Worker>> workers_;
  Epochs epochs_;
  PassedSockets passed_;
  std::atomic<uint32_t> moves_{0};
  const bool placed_;
};

}  // namespace rss
