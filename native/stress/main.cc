// What threads share in native/core, under ThreadSanitizer: scripts/stress.mjs builds and runs it.
// Each part also checks its outcome: nothing lost, nothing twice, nothing seen too early.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/bounded_queue.h"
#include "core/bucket_table.h"
#include "core/datagram_ring.h"
#include "core/epochs.h"
#include "core/owner_lock.h"
#include "platform/platform.h"

namespace {

using namespace rss;

int failures = 0;

void Expect(bool holds, const std::string& what) {
  printf("%s  %s\n", holds ? "ok    " : "FAILED", what.c_str());
  if (!holds) ++failures;
}

// --- The inboxes: workers push to each other's buckets, serve their own directly when nothing
// older waits, drain their inboxes and are replaced, and buckets move

class Bell final : public Waker {
 public:
  void Wake() override { rung_.store(true); }
  bool Answer() { return rung_.exchange(false); }

 private:
  std::atomic<bool> rung_{false};
};

// Checks that the datagrams of each flow come in the order of their numbers, and that sockets are
// those that were passed with them.
class Served final : public DatagramReceiver {
 public:
  Served(uint32_t each, size_t flows, PassedSockets* passed = nullptr)
      : each_(each), last_(flows), passed_(passed) {}

  void OnForwarded(const ForwardedDatagram& datagram, const uint8_t* payload) override {
    const uint32_t name = datagram.flow.flow_id;
    if (datagram.passed != 0) {
      PassedSocket socket = passed_->Take(datagram.passed);
      if (!socket.fd || socket.dropped != name) abort();
      sockets.fetch_add(1);
    }
    for (uint32_t i = 0; i < datagram.length; ++i)
      if (payload[i] != static_cast<uint8_t>(name)) abort();
    auto flow = static_cast<size_t>(datagram.endpoint);
    if (last_[flow].exchange(name % each_ + 1) > name % each_) disorder.fetch_add(1);
    sum.fetch_add(name);
    count.fetch_add(1);
  }

  std::atomic<int> disorder{0}, count{0}, sockets{0};
  std::atomic<uint64_t> sum{0};

 private:
  uint32_t each_;
  std::vector<std::atomic<uint32_t>> last_;  // by the endpoint of the datagrams
  PassedSockets* passed_;
};

ForwardedDatagram Named(uint32_t name, size_t flow, uint32_t length) {
  ForwardedDatagram datagram;
  datagram.flow.flow_id = name;
  datagram.endpoint = static_cast<int>(flow);
  datagram.length = length;
  return datagram;
}

// Each worker reads a flow of its own in each bucket. Where datagrams are `placed`, all of them
// read the same one, in turns: while a bucket moves, its datagrams are in the sockets of both
// owners.
void StressInboxes(bool placed) {
  constexpr int kWorkers = 4, kBuckets = 8, kEach = 20000, kAll = kWorkers * kEach;
  const std::string part = placed ? "inboxes of placed datagrams: " : "inboxes: ";
  std::vector<int> owners;
  for (int bucket = 0; bucket < kBuckets; ++bucket) owners.push_back(bucket % kWorkers);
  BucketTable table(VirtualRssConfig({0, 1, 2, 3}, 3, "stress"), owners, kWorkers, 0, placed);
  std::atomic<int> sent{0}, received{0}, senders{kWorkers};
  std::atomic<uint64_t> sum_sent{0}, sum_received{0};
  Served served(placed ? kAll : kEach, kWorkers * kBuckets, &table.passed());
  std::atomic<int> passed{0};
  struct SharedFlow {
    std::mutex reading;
    uint32_t next = 0;
  };
  std::vector<SharedFlow> shared(kBuckets);
  auto read = [&](int me, int bucket, uint32_t name, int flow) {
    uint8_t payload[600];
    uint32_t length = name * 7 % sizeof payload;
    memset(payload, static_cast<uint8_t>(name), length);
    ForwardedDatagram datagram = Named(name, static_cast<size_t>(flow), length);
    if (table.ServesDirectly(bucket, me)) {
      served.OnForwarded(datagram, payload);
      return true;
    }
    if (name % 64 == 63)
      datagram.passed = table.passed().Put({UniqueFd(dup(STDOUT_FILENO)), name}, 256);
    bool pushed = table.PushDatagram(bucket, me, datagram, payload);
    if (datagram.passed == 0) return pushed;
    if (pushed)
      passed.fetch_add(1);
    else
      (void)table.passed().Take(datagram.passed);
    return pushed;
  };
  auto worker = [&](int me) {
    auto bell = std::make_unique<Bell>();
    table.Attach(me, bell.get());
    std::vector<Connection> connections;
    int next = 0, drains = 0;
    bool sending = true;
    // Senders first: while one runs, it may push to a bucket whose worker has ended.
    while (senders.load() > 0 || received.load() + served.count.load() < sent.load()) {
      for (int burst = 0; burst < 8 && next < kEach; ++burst, ++next) {
        int bucket = (me + next) % kBuckets;
        uint32_t name = static_cast<uint32_t>(me * kEach + next);
        bool pushed;
        if (next % 2 == 0) {
          Connection connection;
          connection.flow.flow_id = name;
          connection.flow.bucket = bucket;
          pushed = table.PushConnection(bucket, me, std::move(connection));
        } else if (!placed) {
          pushed = read(me, bucket, name, me * kBuckets + bucket);
        } else {
          SharedFlow& flow = shared[static_cast<size_t>(bucket)];
          std::lock_guard<std::mutex> lock(flow.reading);
          name = static_cast<uint32_t>(bucket * kAll) + flow.next;
          pushed = read(me, bucket, name, bucket);
          if (pushed) ++flow.next;
        }
        if (!pushed) break;  // full: again later
        sent.fetch_add(1);
        sum_sent.fetch_add(name);
      }
      table.WakeOwners(me);
      if (sending && next == kEach) {
        sending = false;
        senders.fetch_sub(1);
      }
      if (next % 1024 == 512) {  // dies, and a new worker begins
        table.Detach(me);
        bell = std::make_unique<Bell>();
        table.Attach(me, bell.get());
      }
      if (!bell->Answer()) continue;
      bool more = table.DrainConnections(me, 64, &connections);
      if (++drains % 3 == 0) {  // dies with what it has taken
        table.ReturnConnections(std::move(connections));
        connections.clear();
      }
      for (Connection& connection : connections) sum_received.fetch_add(connection.flow.flow_id);
      received.fetch_add(static_cast<int>(connections.size()));
      connections.clear();
      if (table.DrainDatagrams(me, 64, &served) || more) bell->Wake();
      table.Delivered(me);
    }
    table.Detach(me);
  };
  std::vector<std::thread> threads;
  for (int me = 0; me < kWorkers; ++me) threads.emplace_back(worker, me);
  for (int shift = 1; senders.load() > 0; ++shift) {  // buckets move
    for (int& owner : owners) owner = (owner + shift) % kWorkers;
    table.SetOwners(owners);
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  Expect(sent == kAll && received + served.count == sent, part + "what is pushed is drained");
  Expect(sum_sent == sum_received + served.sum, part + "nothing is lost, and nothing comes twice");
  Expect(served.disorder == 0, part + "datagrams are served in the order in which they were read");
  Expect(passed > 0 && served.sockets == passed, part + "sockets arrive as they were passed");
}

// --- The rings of one inbox: several producers, and a consumer that another replaces half-way

void StressRings() {
  constexpr int kProducers = 4, kEach = 20000, kAll = kProducers * kEach;
  auto ring = std::make_unique<DatagramRing>();
  auto queue = std::make_unique<BoundedQueue<uint32_t, 64>>();
  Served served(kEach, kProducers);
  std::vector<uint32_t> popped(kProducers);  // of each producer: the number that comes next
  int count = 0, disorder = 0;
  auto produce = [&](int me) {
    uint8_t payload[4000];
    for (int i = 0; i < kEach; ++i) {
      auto name = static_cast<uint32_t>(me * kEach + i);
      uint32_t length = i % 16 == 0 ? sizeof payload : name % 500;
      memset(payload, static_cast<uint8_t>(name), length);
      auto flow = static_cast<size_t>(me);
      while (!ring->Push(Named(name, flow, length), payload)) std::this_thread::yield();
      uint32_t value = name;
      while (!queue->Push(std::move(value))) std::this_thread::yield();
    }
  };
  auto consume = [&](int until) {
    while (served.count.load() < until || count < until) {
      if (served.count.load() < until && ring->Take(7, &served) > 0) ring->Free();
      uint32_t name;
      if (count < until && queue->Pop(&name)) {
        if (popped[name / kEach]++ != name % kEach) ++disorder;
        ++count;
      }
    }
  };
  std::vector<std::thread> producers;
  for (int me = 0; me < kProducers; ++me) producers.emplace_back(produce, me);
  std::thread(consume, kAll / 2).join();
  std::thread(consume, kAll).join();
  for (std::thread& producer : producers) producer.join();
  Expect(served.count == kAll && ring->empty() && ring->length() == 0 && served.disorder == 0,
         "rings: datagrams arrive once and in order, also at the next consumer");
  Expect(count == kAll && queue->length() == 0 && disorder == 0,
         "rings: so does what a queue takes");
}

// --- Epochs: pieces of memory are found, read for one turn, and reused

void StressEpochs() {
  constexpr size_t kReaders = 3, kPieces = 4;
  constexpr int kRounds = 3000;
  struct Piece {
    uint32_t words[32];  // all the same while a reader can find them
  };
  Epochs epochs(kReaders);
  Piece pieces[kPieces] = {};
  std::atomic<Piece*> current{&pieces[0]};
  std::atomic<bool> done{false};
  std::atomic<int> torn{0}, turns{0};
  auto reader = [&](size_t me) {
    while (!done.load()) {
      epochs.Enter(me);
      Piece* piece = current.load();
      for (int pass = 0; pass < 3; ++pass)
        for (uint32_t word : piece->words)
          if (word != piece->words[0]) torn.fetch_add(1);
      epochs.Leave(me);
      turns.fetch_add(1);
    }
  };
  std::vector<std::thread> threads;
  for (size_t me = 0; me < kReaders; ++me) threads.emplace_back(reader, me);
  for (int round = 1; round <= kRounds; ++round) {
    Piece* next = &pieces[static_cast<size_t>(round) % kPieces];
    for (uint32_t& word : next->words) word = static_cast<uint32_t>(round);
    current.store(next);
    uint64_t ticket = epochs.Retire();
    while (!epochs.Passed(ticket)) std::this_thread::yield();
  }
  while (turns.load() < 100) std::this_thread::yield();
  done.store(true);
  for (std::thread& thread : threads) thread.join();
  Expect(torn == 0, "epochs: no piece changes while a turn reads it");
}

// --- The lock: plain counters under it, owners that die in it

void StressLock() {
  constexpr int kThreads = 4, kRounds = 20000;
  uint32_t word = 0;
  uint64_t counter = 0, sections = 0;
  auto thread = [&](uint32_t token) {
    OwnerLock lock(&word, WaitOnAddress, WakeAddress);
    for (int i = 0; i < kRounds; ++i) {
      lock.Acquire(token);
      if (!lock.IsHeldBy(token)) abort();
      ++counter;
      if (i % 64 == 0) std::this_thread::yield();
      ++sections;
      lock.Release();
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kThreads; ++i) threads.emplace_back(thread, i + 1);
  for (std::thread& one : threads) one.join();
  Expect(counter == kThreads * kRounds && sections == counter, "lock: one thread at a time");

  OwnerLock lock(&word, WaitOnAddress, WakeAddress);
  std::thread([&] { OwnerLock(&word, WaitOnAddress, WakeAddress).Acquire(77); }).join();
  std::atomic<bool> entered{false};
  std::thread waiter([&] {
    lock.Acquire(78);
    entered.store(true);
    lock.Release();
  });
  auto* seen = reinterpret_cast<std::atomic<uint32_t>*>(&word);
  while ((seen->load() & OwnerLock::kContended) == 0) std::this_thread::yield();
  bool waited = !entered.load() && lock.IsHeldBy(77);
  lock.Break();
  waiter.join();
  Expect(waited && entered.load(), "lock: a dead owner's is broken, and who waits goes on");
}

}  // namespace

int main() {
  StressInboxes(false);
  StressInboxes(true);
  StressRings();
  StressEpochs();
  StressLock();
  printf("%s\n", failures == 0 ? "passed" : "failed");
  return failures == 0 ? 0 : 1;
}
