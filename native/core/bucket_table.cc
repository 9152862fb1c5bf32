#include "core/bucket_table.h"

namespace rss {

void BucketTable::Bucket::NoteLength() {
  size_t now = length();
  size_t before = most.load(std::memory_order_relaxed);
  while (now > before && !most.compare_exchange_weak(before, now, std::memory_order_relaxed)) {
  }
}

// A push calls this without the mutex. Each of these two functions writes one of `settled_at` and
// `route` before it reads the other. So either the flag is seen here to be gone, or the push is
// seen in Settle().
void BucketTable::Bucket::Unsettle() {
  const uint64_t tail = datagrams.tail();
  uint64_t before = settled_at.load();
  while (before < tail && !settled_at.compare_exchange_weak(before, tail)) {
  }
  if ((route.load() & kSettling) == 0) route.fetch_or(kSettling);
}

void BucketTable::Bucket::Settle() {
  if (!settled()) return;
  route.fetch_and(~kSettling);
  if (!settled()) route.fetch_or(kSettling);
}

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
  for (int i = 0; i < workers; ++i) {
    workers_.push_back(std::make_unique<Worker>());
    workers_.back()->pushed_to.resize(static_cast<size_t>(workers));
    workers_.back()->delivering.reserve(buckets_.size());
  }
}

// The old owner serves what it has drained already. A concurrent push may wake either owner, so all
// workers look again after the change.
//
// A worker pushes first and loads the route then. Here the route is stored first, and the ring is
// examined then. So either the worker sees its new owner, or the push is seen here.
void BucketTable::SetOwners(const std::vector<int>& bucket_to_worker) {
  moves_.fetch_add(1, std::memory_order_release);
  for (size_t i = 0; i < bucket_to_worker.size(); ++i) {
    Bucket& bucket = *buckets_[i];
    if (owner(static_cast<int>(i)) == bucket_to_worker[i]) continue;
    std::lock_guard<std::mutex> lock(bucket.mutex);
    bucket.route.store(bucket_to_worker[i] * kRouteOfWorker + kSettling);
    bucket.Unsettle();
    bucket.Settle();
  }
  for (int worker = 0; worker < workers(); ++worker) Wake(worker);
}

void BucketTable::Attach(int worker, Waker* waker) {
  std::lock_guard<std::mutex> lock(workers_[worker]->mutex);
  workers_[worker]->waker = waker;
  waker->Wake();
}

void BucketTable::Detach(int worker) {
  Delivered(worker);
  std::lock_guard<std::mutex> lock(workers_[worker]->mutex);
  workers_[worker]->waker = nullptr;
}

void BucketTable::Wake(int worker) {
  std::lock_guard<std::mutex> lock(workers_[worker]->mutex);
  if (workers_[worker]->waker != nullptr) workers_[worker]->waker->Wake();
}

void BucketTable::NotePush(int from, int to) {
  workers_[from]->pushed_to[to] = 1;
  workers_[from]->has_pushed = true;
}

void BucketTable::WakeOwners(int from) {
  Worker& self = *workers_[from];
  if (!self.has_pushed) return;
  self.has_pushed = false;
  for (int to = 0; to < workers(); ++to) {
    if (self.pushed_to[to] == 0) continue;
    self.pushed_to[to] = 0;
    Wake(to);
  }
}

bool BucketTable::PushConnection(int bucket, int from, Connection&& connection) {
  Bucket& target = *buckets_[bucket];
  if (!target.connections.Push(std::move(connection))) return false;
  NotePush(from, target.route.load() / kRouteOfWorker);
  target.NoteLength();
  return true;
}

bool BucketTable::PushDatagram(int bucket, int from, const ForwardedDatagram& datagram,
                               const uint8_t* payload) {
  Bucket& target = *buckets_[bucket];
  if (!target.datagrams.Push(datagram, payload)) return false;
  const int to = target.route.load() / kRouteOfWorker;
  NotePush(from, to);
  target.NoteLength();
  if (placed_ || to == from) target.Unsettle();
  return true;
}

void BucketTable::ReturnConnections(std::vector<Connection>&& connections) {
  for (size_t i = connections.size(); i-- > 0;) {
    int bucket = connections[i].flow.bucket;
    Bucket& target = *buckets_[bucket];
    {
      std::lock_guard<std::mutex> lock(target.mutex);
      target.returned.push_back(std::move(connections[i]));
      target.has_returned.store(true, std::memory_order_release);
    }
    Wake(owner(bucket));
  }
  connections.clear();
}

BucketTable::InboxLength BucketTable::inbox(int bucket) const {
  const Bucket& target = *buckets_[bucket];
  return {target.length(), target.most.load(std::memory_order_relaxed)};
}

// The i-th bucket of a drain; null when its owner is another worker.
BucketTable::Bucket* BucketTable::OwnedBy(int worker, size_t i) const {
  Bucket* bucket = buckets_[(workers_[worker]->first_bucket + i) % buckets_.size()].get();
  int owner = bucket->route.load(std::memory_order_acquire) / kRouteOfWorker;
  return owner == worker ? bucket : nullptr;
}

bool BucketTable::DrainConnections(int worker, size_t limit, std::vector<Connection>* connections) {
  bool more = false;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    Bucket* bucket = OwnedBy(worker, i);
    if (bucket == nullptr) continue;
    if (bucket->has_returned.load(std::memory_order_acquire)) {
      std::lock_guard<std::mutex> lock(bucket->mutex);
      while (!bucket->returned.empty() && connections->size() < limit) {
        connections->push_back(std::move(bucket->returned.back()));
        bucket->returned.pop_back();
      }
      bucket->has_returned.store(!bucket->returned.empty(), std::memory_order_release);
      more = more || !bucket->returned.empty();
    }
    Connection connection;
    while (connections->size() < limit && bucket->connections.Pop(&connection))
      connections->push_back(std::move(connection));
    more = more || bucket->connections.length() > 0;
  }
  return more;
}

bool BucketTable::DrainDatagrams(int worker, size_t limit, DatagramReceiver* receiver) {
  bool more = false;
  ++workers_[worker]->first_bucket;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    Bucket* bucket = OwnedBy(worker, i);
    if (bucket == nullptr || bucket->datagrams.empty()) continue;
    if (limit == 0) return true;
    {
      std::lock_guard<std::mutex> lock(bucket->mutex);
      // The previous owner still serves some. It wakes this worker afterwards.
      if (bucket->deliverer >= 0) continue;
      bucket->deliverer = worker;
    }
    workers_[worker]->delivering.push_back(bucket);
    limit -= bucket->datagrams.Take(limit, receiver);
    more = more || !bucket->datagrams.empty();
  }
  return more;
}

void BucketTable::EndDelivery(int worker, bool served) {
  for (Bucket* bucket : workers_[worker]->delivering) {
    int waiting = worker;  // the worker for which datagrams wait
    {
      std::lock_guard<std::mutex> lock(bucket->mutex);
      if (served)
        bucket->datagrams.Free();
      else
        bucket->datagrams.Return();
      bucket->deliverer = -1;
      bucket->Settle();
      if (!bucket->datagrams.empty())
        waiting = bucket->route.load(std::memory_order_relaxed) / kRouteOfWorker;
    }
    if (waiting != worker) Wake(waiting);
  }
  workers_[worker]->delivering.clear();
}

}  // namespace rss
