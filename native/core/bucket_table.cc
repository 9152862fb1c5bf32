#include "core/bucket_table.h"

#include <iterator>

namespace rss {
namespace {

template <typename T>
void Take(std::deque<T>* from, size_t limit, std::vector<T>* to) {
  while (!from->empty() && to->size() < limit) {
    to->push_back(std::move(from->front()));
    from->pop_front();
  }
}

}  // namespace

BucketTable::BucketTable(RssConfig config, const std::vector<int>& bucket_to_worker, int workers,
                         int most_connections, bool placed)
    : classifier_(std::move(config)),
      samples_(classifier_.config().has_card() ? FlowSamples::kMost : 0),
      limit_(most_connections),
      epochs_(static_cast<size_t>(workers)),
      placed_(placed) {
  for (int worker : bucket_to_worker) {
    buckets_.push_back(std::make_unique<Bucket>());
    buckets_.back()->route = worker * kRouteOfWorker;
  }
  for (int i = 0; i < workers; ++i) wakers_.push_back(std::make_unique<Wakeup>());
}

// The old owner serves what it has drained already. A concurrent push may wake either owner, so all
// workers look again after the change.
void BucketTable::SetOwners(const std::vector<int>& bucket_to_worker) {
  moves_.fetch_add(1, std::memory_order_release);
  for (size_t i = 0; i < bucket_to_worker.size(); ++i) {
    Bucket& bucket = *buckets_[i];
    if (owner(static_cast<int>(i)) == bucket_to_worker[i]) continue;
    std::lock_guard<std::mutex> lock(bucket.mutex);
    bool settling = !bucket.datagrams.empty() || bucket.deliverer >= 0;
    if (settling) bucket.settled_at = bucket.pushed;
    bucket.route.store(bucket_to_worker[i] * kRouteOfWorker + (settling ? kSettling : 0),
                       std::memory_order_release);
  }
  for (int worker = 0; worker < workers(); ++worker) Wake(worker);
}

void BucketTable::Attach(int worker, Waker* waker) {
  std::lock_guard<std::mutex> lock(wakers_[worker]->mutex);
  wakers_[worker]->waker = waker;
  waker->Wake();
}

void BucketTable::Detach(int worker) {
  Delivered(worker);
  std::lock_guard<std::mutex> lock(wakers_[worker]->mutex);
  wakers_[worker]->waker = nullptr;
}

void BucketTable::Wake(int worker) {
  std::lock_guard<std::mutex> lock(wakers_[worker]->mutex);
  if (wakers_[worker]->waker != nullptr) wakers_[worker]->waker->Wake();
}

bool BucketTable::PushConnection(int bucket, Connection&& connection) {
  Bucket& target = *buckets_[bucket];
  {
    std::lock_guard<std::mutex> lock(target.mutex);
    if (target.connections.size() >= kMaxConnections) return false;
    target.connections.push_back(std::move(connection));
    target.NoteLength();
  }
  Wake(owner(bucket));
  return true;
}

bool BucketTable::PushDatagram(int bucket, int from, ForwardedDatagram&& datagram) {
  Bucket& target = *buckets_[bucket];
  {
    std::lock_guard<std::mutex> lock(target.mutex);
    if (target.datagrams.size() >= kMaxDatagrams) return false;
    target.datagrams.push_back(std::move(datagram));
    ++target.pushed;
    target.NoteLength();
    if (placed_ || owner(bucket) == from) {
      target.settled_at = target.pushed;
      target.route.fetch_or(kSettling, std::memory_order_release);
    }
  }
  Wake(owner(bucket));
  return true;
}

void BucketTable::ReturnConnections(std::vector<Connection>&& connections) {
  for (size_t i = connections.size(); i-- > 0;) {
    int bucket = connections[i].flow.bucket;
    Bucket& target = *buckets_[bucket];
    {
      std::lock_guard<std::mutex> lock(target.mutex);
      target.connections.push_front(std::move(connections[i]));
      target.NoteLength();
    }
    Wake(owner(bucket));
  }
  connections.clear();
}

BucketTable::InboxLength BucketTable::inbox(int bucket) {
  Bucket& target = *buckets_[bucket];
  std::lock_guard<std::mutex> lock(target.mutex);
  return {target.length(), target.most};
}

bool BucketTable::Drain(int worker, size_t limit, std::vector<Connection>* connections,
                        std::vector<ForwardedDatagram>* datagrams) {
  bool more = false;
  size_t first = wakers_[worker]->next_bucket++;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    auto& bucket = buckets_[(first + i) % buckets_.size()];
    if (bucket->route.load(std::memory_order_acquire) / kRouteOfWorker != worker) continue;
    std::lock_guard<std::mutex> lock(bucket->mutex);
    Take(&bucket->connections, limit, connections);
    more = more || !bucket->connections.empty();
    // The previous owner still serves some. It wakes this worker afterwards.
    if (bucket->deliverer >= 0 && bucket->deliverer != worker) continue;
    size_t before = datagrams->size();
    Take(&bucket->datagrams, limit, datagrams);
    bucket->taken += datagrams->size() - before;
    more = more || !bucket->datagrams.empty();
    if (datagrams->size() == before || bucket->deliverer == worker) continue;
    bucket->deliverer = worker;
    wakers_[worker]->delivering.push_back(bucket.get());
  }
  return more;
}

void BucketTable::Delivered(int worker) {
  for (Bucket* bucket : wakers_[worker]->delivering) {
    int waiting = worker;  // the worker for which datagrams wait
    {
      std::lock_guard<std::mutex> lock(bucket->mutex);
      bucket->deliverer = -1;
      if (bucket->taken >= bucket->settled_at)
        bucket->route.fetch_and(~kSettling, std::memory_order_release);
      if (!bucket->datagrams.empty())
        waiting = bucket->route.load(std::memory_order_relaxed) / kRouteOfWorker;
    }
    if (waiting != worker) Wake(waiting);
  }
  wakers_[worker]->delivering.clear();
}

}  // namespace rss
