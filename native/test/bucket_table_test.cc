// The inboxes: order, bounds, what outlives an owner, many threads at once.
#include <fcntl.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "core/bucket_table.h"
#include "test/check.h"

namespace rss_test {
namespace {

using namespace rss;

class Flag : public Waker {
 public:
  void Wake() override { ++count; }
  std::atomic<int> count{0};
};

class Collector : public DatagramReceiver {
 public:
  void OnForwarded(const ForwardedDatagram& datagram, const uint8_t* payload) override {
    numbers += std::to_string(datagram.flow.flow_id) + " ";
    payloads.emplace_back(payload, payload + datagram.length);
  }
  std::string numbers;
  std::vector<std::string> payloads;
};

Connection Numbered(int bucket, uint32_t number) {
  Connection connection;
  connection.fd.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
  connection.flow.bucket = bucket;
  connection.flow.flow_id = number;
  return connection;
}

ForwardedDatagram Datagram(uint32_t number, size_t length = 0) {
  ForwardedDatagram datagram;
  datagram.flow.flow_id = number;
  datagram.length = static_cast<uint32_t>(length);
  return datagram;
}

void TestLifetimes() {
  BucketTable table(VirtualRssConfig({0, 1}, 2, ""), {0, 1, 0, 1}, 2);
  Check(table.PushConnection(1, 0, Numbered(1, 7)), "an inbox takes connections without an owner");
  table.WakeOwners(0);
  Flag first;
  table.Attach(1, &first);
  Check(first.count == 1, "an owner is woken when it attaches");
  std::vector<Connection> got;
  bool more = table.DrainConnections(1, 10, &got);
  Check(!more && got.size() == 1 && got[0].flow.flow_id == 7 && got[0].fd,
        "what waited is drained by the owner");
  (void)table.PushConnection(3, 0, Numbered(3, 8));
  (void)table.PushDatagram(1, 0, Datagram(1), nullptr);
  Check(first.count == 1, "pushes do not wake the owner");
  table.WakeOwners(0);
  table.WakeOwners(0);
  Check(first.count == 2, "it is woken once after a batch of them");
  table.Detach(1);
  (void)table.PushConnection(3, 0, Numbered(3, 9));
  table.WakeOwners(0);
  Check(first.count == 2, "a detached owner is not woken");
  table.ReturnConnections(std::move(got));
  got.clear();
  more = table.DrainConnections(1, 2, &got);
  Check(more && got.size() == 2 && got[0].flow.flow_id == 7 && got[1].flow.flow_id == 8,
        "a new worker drains what the one before returned, at most the limit");
  got.clear();
  table.DrainConnections(0, 10, &got);
  Check(got.empty(), "other workers' buckets are left alone");
  Flag second;
  table.Attach(0, &second);
  table.SetOwners({1, 0, 1, 0});
  Check(second.count == 2 && table.owner(1) == 0 && table.owner(2) == 1, "a new owner is woken");
  table.DrainConnections(0, 10, &got);
  Check(got.size() == 1 && got[0].flow.flow_id == 9, "and drains what waited for the old one");
}

void TestReturned() {
  BucketTable table(VirtualRssConfig({0}, 0, ""), {0}, 1);
  std::vector<Connection> got;
  for (uint32_t i = 1; i <= 3; ++i) got.push_back(Numbered(0, i));
  (void)table.PushConnection(0, 0, Numbered(0, 4));
  table.ReturnConnections(std::move(got));
  std::string numbers;
  for (bool more = true; more;) {
    got.clear();
    more = table.DrainConnections(0, 2, &got);
    for (const Connection& one : got) numbers += std::to_string(one.flow.flow_id) + " ";
  }
  Check(numbers == "1 2 3 4 ", "returned connections come first, in their order", numbers);
}

void TestLengths() {
  BucketTable table(VirtualRssConfig({0, 1}, 1, ""), {0, 1}, 2);
  auto is = [&](int bucket, size_t now, size_t most) {
    BucketTable::InboxLength length = table.inbox(bucket);
    return length.now == now && length.most == most;
  };
  Check(is(0, 0, 0), "an inbox begins empty");
  for (uint32_t i = 0; i < 3; ++i) (void)table.PushConnection(0, 1, Numbered(0, i));
  (void)table.PushDatagram(0, 1, Datagram(1), nullptr);
  Check(is(0, 4, 4) && is(1, 0, 0), "connections and datagrams count together");
  std::vector<Connection> got;
  Collector datagrams;
  table.DrainConnections(0, 10, &got);
  table.DrainDatagrams(0, 10, &datagrams);
  (void)table.PushConnection(0, 1, Numbered(0, 9));
  Check(is(0, 1, 4), "the highest length stays after a drain");
}

void TestBounds() {
  auto table = std::make_unique<BucketTable>(VirtualRssConfig({0}, 0, ""), std::vector<int>{0}, 1);
  size_t taken = 0;
  while (table->PushDatagram(0, 0, Datagram(0), nullptr)) ++taken;
  Check(taken == DatagramRing::kBlocks, "a full ring refuses datagrams", std::to_string(taken));
  size_t pushed = 0;
  Connection connection = Numbered(0, 1);
  int fd = connection.fd.get();
  while (table->PushConnection(0, 0, std::move(connection))) {
    ++pushed;
    connection = Connection();
    connection.flow.flow_id = static_cast<uint32_t>(pushed);
  }
  Check(pushed == BucketTable::kMaxConnections && connection.flow.flow_id == pushed,
        "a full queue refuses a connection and leaves it alone");
  table.reset();
  Check(fcntl(fd, F_GETFD) == -1, "what still waits is closed with the table");
}

// Datagrams of all lengths, at all places of the ring.
void TestRing() {
  auto ring = std::make_unique<DatagramRing>();
  std::string bytes(65535, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
  const auto* payload = reinterpret_cast<const uint8_t*>(bytes.data());
  size_t wrong = 0, number = 0;
  for (size_t length = 0; length <= 65535; length += length < 3000 ? 37 : 4001) {
    for (int i = 0; i < 8; ++i) {
      Collector got;
      for (size_t part = 0; part < 3; ++part)
        if (!ring->Push(Datagram(static_cast<uint32_t>(number + part), length / (part + 1)),
                        payload + part))
          ++wrong;
      if (ring->length() != 3 || ring->empty()) ++wrong;
      if (ring->Take(3, &got) != 3 || !ring->empty() || ring->length() != 0) ++wrong;
      ring->Return();
      got = Collector();
      if (ring->length() != 3 || ring->empty()) ++wrong;
      if (ring->Take(2, &got) != 2 || ring->Take(2, &got) != 1 || !ring->empty()) ++wrong;
      ring->Free();
      for (size_t part = 0; part < 3; ++part)
        if (got.payloads[part] != bytes.substr(part, length / (part + 1))) ++wrong;
      number += 3;
    }
  }
  Check(wrong == 0 && ring->head() == ring->tail() && ring->tail() > 10 * DatagramRing::kBlocks,
        "a ring keeps datagrams of all lengths", std::to_string(wrong) + " wrong");
  size_t largest = 0;
  while (ring->Push(Datagram(0, 65507), payload)) ++largest;
  Check(largest == 7, "a ring has room for 7 of the longest", std::to_string(largest));
}

void TestThreads() {
  BucketTable table(VirtualRssConfig({0, 1, 2, 3}, 3, ""), {0, 1, 2, 3, 0, 1, 2, 3}, 4);
  constexpr int kPerThread = 5000;
  std::atomic<int> refused{0}, drained{0};
  std::atomic<bool> stop{false};
  auto push = [&](int seed) {
    for (int i = 0; i < kPerThread; ++i)
      if (!table.PushDatagram((seed + i) % 8, seed, Datagram(1), nullptr)) ++refused;
  };
  auto drain = [&](int worker) {
    Flag flag;
    bool last = false;
    for (;;) {
      Collector datagrams;
      table.Attach(worker, &flag);
      while (table.DrainDatagrams(worker, 64, &datagrams)) table.Delivered(worker);
      drained += static_cast<int>(datagrams.payloads.size());
      table.Detach(worker);  // owners come and go while others push
      if (last) return;
      last = stop;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(drain, i);
  std::vector<std::thread> pushers;
  for (int i = 0; i < 4; ++i) pushers.emplace_back(push, i);
  for (auto& thread : pushers) thread.join();
  stop = true;
  for (auto& thread : threads) thread.join();
  Check(drained + refused == 4 * kPerThread, "4 threads push, 4 drain: nothing lost, nothing twice",
        std::to_string(drained) + " drained, " + std::to_string(refused) + " refused");
}

std::string Drained(BucketTable* table, int worker) {
  Collector datagrams;
  table->DrainDatagrams(worker, 64, &datagrams);
  return datagrams.numbers;
}

// Datagrams of a bucket are served in the order in which they were read, also when it moves.
void TestOrder() {
  BucketTable table(VirtualRssConfig({0, 1}, 1, ""), {0, 1}, 2);
  Flag first, second;
  table.Attach(0, &first);
  table.Attach(1, &second);
  Check(table.ServesDirectly(1, 1) && !table.ServesDirectly(1, 0),
        "an owner serves what it reads itself");
  (void)table.PushDatagram(1, 0, Datagram(1), nullptr);
  Check(table.ServesDirectly(1, 1), "also while the datagrams of other readers wait");
  uint32_t moves = table.moves();
  table.SetOwners({0, 0});
  Check(table.moves() != moves && table.owner(1) == 0, "a move is seen");
  Check(!table.ServesDirectly(1, 0) && table.ServesDirectly(0, 0),
        "a reader that becomes the owner has older datagrams in the inbox");
  (void)table.PushDatagram(1, 0, Datagram(2), nullptr);
  Check(Drained(&table, 0) == "1 2 " && !table.ServesDirectly(1, 0), "they are served first");
  (void)table.PushDatagram(1, 1, Datagram(9), nullptr);
  table.Delivered(0);
  Check(table.ServesDirectly(1, 0), "then it serves what it reads, whatever others have pushed");
  (void)Drained(&table, 0);
  table.Delivered(0);

  (void)table.PushDatagram(1, 1, Datagram(3), nullptr);
  Check(Drained(&table, 0) == "3 ", "an owner has drained");
  table.SetOwners({0, 1});
  (void)table.PushDatagram(1, 1, Datagram(4), nullptr);
  int woken = second.count;
  Check(Drained(&table, 1).empty() && !table.ServesDirectly(1, 1),
        "the next one waits until it has served");
  table.Delivered(0);
  Check(second.count == woken + 1, "and is woken");
  Check(Drained(&table, 1) == "4 ", "then it drains");
  table.Undelivered(1);
  Check(!table.ServesDirectly(1, 1) && Drained(&table, 1) == "4 ",
        "what a dying owner cannot serve is drained again, and comes first");
  table.Detach(1);
  Check(table.ServesDirectly(1, 1), "what it has served holds nothing up");

  BucketTable placed(VirtualRssConfig({0, 1}, 1, ""), {0, 1}, 2, 0, true);
  (void)placed.PushDatagram(1, 0, Datagram(1), nullptr);
  Check(!placed.ServesDirectly(1, 1),
        "where the kernel places datagrams, those in an inbox are older than the owner's own");
}

void TestLimit() {
  rss::ConnectionLimit limit(2);
  rss::Place first = limit.Take();
  {
    rss::Place second = limit.Take();
    Check(first && second && !limit.Take(), "a limit of 2 connections refuses a third");
    rss::Place moved = std::move(second);
    Check(!second && moved && !limit.Take(), "a place that moves stays taken once");
  }
  Check(static_cast<bool>(limit.Take()), "a connection that ends leaves its place");
  rss::ConnectionLimit none(0);
  rss::Place a = none.Take(), b = none.Take();
  Check(a && b, "0 is no limit");
}

}  // namespace

void TestBucketTable() {
  TestLimit();
  TestLifetimes();
  TestReturned();
  TestLengths();
  TestRing();
  TestBounds();
  TestOrder();
  TestThreads();
}

}  // namespace rss_test
