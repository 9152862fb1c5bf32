// What threads share in native/core, under ThreadSanitizer: scripts/stress.mjs builds and runs it.
// Each part also checks its outcome: nothing lost, nothing twice, nothing seen too early.
#include <stdio.h>
#include <stdlib.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "core/bucket_table.h"
#include "core/epochs.h"
#include "core/owner_lock.h"
#include "platform/platform.h"

namespace {

using namespace rss;

int failures = 0;

void Expect(bool holds, const char* what) {
  printf("%s  %s\n", holds ? "ok    " : "FAILED", what);
  if (!holds) ++failures;
}

// --- The inboxes: workers push to each other's buckets, drain their own and are replaced, and
// buckets move

class Bell final : public Waker {
 public:
  void Wake() override { rung_.store(true); }
  bool Answer() { return rung_.exchange(false); }

 private:
  std::atomic<bool> rung_{false};
};

void StressInboxes() {
  constexpr int kWorkers = 4, kBuckets = 8, kEach = 20000;
  std::vector<int> owners;
  for (int bucket = 0; bucket < kBuckets; ++bucket) owners.push_back(bucket % kWorkers);
  BucketTable table(VirtualRssConfig({0, 1, 2, 3}, 3, "stress"), owners, kWorkers);
  std::atomic<int> sent{0}, received{0}, senders{kWorkers};
  std::atomic<uint64_t> sum_sent{0}, sum_received{0};
  std::vector<std::atomic<uint32_t>> last(kWorkers * kBuckets);
  std::atomic<int> disorder{0};
  auto worker = [&](int me) {
    auto bell = std::make_unique<Bell>();
    table.Attach(me, bell.get());
    std::vector<Connection> connections;
    std::vector<ForwardedDatagram> datagrams;
    int next = 0, drains = 0;
    bool sending = true;
    // Senders first: while one runs, it may push to a bucket whose worker has ended.
    while (senders.load() > 0 || received.load() < sent.load()) {
      for (int burst = 0; burst < 8 && next < kEach; ++burst, ++next) {
        int bucket = (me + next) % kBuckets;
        uint32_t name = static_cast<uint32_t>(me * kEach + next);
        bool pushed;
        if (next % 2 == 0) {
          Connection connection;
          connection.flow.flow_id = name;
          connection.flow.bucket = bucket;
          pushed = table.PushConnection(bucket, std::move(connection));
        } else {
          ForwardedDatagram datagram;
          datagram.flow.flow_id = name;
          datagram.payload.assign(32, static_cast<uint8_t>(name));
          pushed = table.PushDatagram(bucket, me, std::move(datagram));
        }
        if (!pushed) break;  // full: again later
        sent.fetch_add(1);
        sum_sent.fetch_add(name);
      }
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
      if (table.Drain(me, 64, &connections, &datagrams)) bell->Wake();
      if (++drains % 3 == 0) {  // dies with what it has taken
        table.ReturnConnections(std::move(connections));
        connections.clear();
      }
      for (Connection& connection : connections) sum_received.fetch_add(connection.flow.flow_id);
      for (ForwardedDatagram& datagram : datagrams) {
        for (uint8_t byte : datagram.payload)
          if (byte != static_cast<uint8_t>(datagram.flow.flow_id)) abort();
        sum_received.fetch_add(datagram.flow.flow_id);
        // Each sender counts up in each bucket.
        uint32_t name = datagram.flow.flow_id, sender = name / kEach, number = name % kEach;
        size_t flow = sender * kBuckets + (sender + number) % kBuckets;
        if (last[flow].exchange(number + 1) > number) disorder.fetch_add(1);
      }
      received.fetch_add(static_cast<int>(connections.size() + datagrams.size()));
      connections.clear();
      datagrams.clear();
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
  Expect(sent == kWorkers * kEach && received == sent, "inboxes: what is pushed is drained");
  Expect(sum_sent == sum_received, "inboxes: nothing is lost, and nothing comes twice");
  Expect(disorder == 0, "inboxes: datagrams are drained in the order in which they were pushed");
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
  StressInboxes();
  StressEpochs();
  StressLock();
  printf("%s\n", failures == 0 ? "passed" : "failed");
  return failures == 0 ? 0 : 1;
}
