// The inboxes: order, bounds, what outlives an owner, many threads at once.
#include <fcntl.h>

#include <atomic>
#include <string>
#include <thread>

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

Connection Numbered(int bucket, uint32_t number) {
  Connection connection;
  connection.fd.reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
  connection.flow.bucket = bucket;
  connection.flow.flow_id = number;
  return connection;
}

void TestLifetimes() {
  BucketTable table(VirtualRssConfig({0, 1}, 2, ""), {0, 1, 0, 1}, 2);
  Check(table.PushConnection(1, Numbered(1, 7)), "an inbox takes connections without an owner");
  Flag first;
  table.Attach(1, &first);
  Check(first.count == 1, "an owner is woken when it attaches");
  std::vector<Connection> got;
  std::vector<ForwardedDatagram> datagrams;
  bool more = table.Drain(1, 10, &got, &datagrams);
  Check(!more && got.size() == 1 && got[0].flow.flow_id == 7 && got[0].fd,
        "what waited is drained by the owner");
  (void)table.PushConnection(3, Numbered(3, 8));
  Check(first.count == 2, "a push wakes the owner");
  table.Detach(1);
  (void)table.PushConnection(3, Numbered(3, 9));
  Check(first.count == 2, "a detached owner is not woken");
  table.ReturnConnections(std::move(got));
  got.clear();
  more = table.Drain(1, 2, &got, &datagrams);
  Check(more && got.size() == 2 && got[0].flow.flow_id == 7 && got[1].flow.flow_id == 8,
        "a new worker drains what the one before returned, at most the limit");
  got.clear();
  table.Drain(0, 10, &got, &datagrams);
  Check(got.empty(), "other workers' buckets are left alone");
  Flag second;
  table.Attach(0, &second);
  table.SetOwners({1, 0, 1, 0});
  Check(second.count == 2 && table.owner(1) == 0 && table.owner(2) == 1, "a new owner is woken");
  table.Drain(0, 10, &got, &datagrams);
  Check(got.size() == 1 && got[0].flow.flow_id == 9, "and drains what waited for the old one");
}

void TestLengths() {
  BucketTable table(VirtualRssConfig({0, 1}, 1, ""), {0, 1}, 2);
  auto is = [&](int bucket, size_t now, size_t most) {
    BucketTable::InboxLength length = table.inbox(bucket);
    return length.now == now && length.most == most;
  };
  Check(is(0, 0, 0), "an inbox begins empty");
  for (uint32_t i = 0; i < 3; ++i) (void)table.PushConnection(0, Numbered(0, i));
  (void)table.PushDatagram(0, 1, ForwardedDatagram());
  Check(is(0, 4, 4) && is(1, 0, 0), "connections and datagrams count together");
  std::vector<Connection> got;
  std::vector<ForwardedDatagram> datagrams;
  table.Drain(0, 10, &got, &datagrams);
  (void)table.PushConnection(0, Numbered(0, 9));
  Check(is(0, 1, 4), "the highest length stays after a drain");
}

void TestBounds() {
  BucketTable table(VirtualRssConfig({0}, 0, ""), {0}, 1);
  size_t taken = 0;
  for (size_t i = 0; i < BucketTable::kMaxDatagrams + 10; ++i) {
    ForwardedDatagram datagram;
    datagram.payload = {1, 2, 3};
    if (table.PushDatagram(0, 0, std::move(datagram)))
      ++taken;
    else
      taken += datagram.payload.size() == 3 ? 0 : 100000;  // a refused one must be unchanged
  }
  Check(taken == BucketTable::kMaxDatagrams, "a full inbox refuses and leaves the datagram alone");
}

void TestThreads() {
  BucketTable table(VirtualRssConfig({0, 1, 2, 3}, 3, ""), {0, 1, 2, 3, 0, 1, 2, 3}, 4);
  constexpr int kPerThread = 5000;
  std::atomic<int> refused{0}, drained{0};
  std::atomic<bool> stop{false};
  auto push = [&](int seed) {
    for (int i = 0; i < kPerThread; ++i) {
      ForwardedDatagram datagram;
      datagram.flow.bucket = (seed + i) % 8;
      if (!table.PushDatagram(datagram.flow.bucket, seed, std::move(datagram))) ++refused;
    }
  };
  auto drain = [&](int worker) {
    Flag flag;
    std::vector<Connection> connections;
    std::vector<ForwardedDatagram> datagrams;
    bool last = false;
    for (;;) {
      table.Attach(worker, &flag);
      while (table.Drain(worker, 64, &connections, &datagrams)) {
        drained += static_cast<int>(datagrams.size());
        datagrams.clear();
        table.Delivered(worker);
      }
      drained += static_cast<int>(datagrams.size());
      datagrams.clear();
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

ForwardedDatagram Datagram(uint32_t number) {
  ForwardedDatagram datagram;
  datagram.flow.flow_id = number;
  return datagram;
}

std::string Drained(BucketTable* table, int worker) {
  std::vector<Connection> connections;
  std::vector<ForwardedDatagram> datagrams;
  table->Drain(worker, 64, &connections, &datagrams);
  std::string numbers;
  for (const ForwardedDatagram& one : datagrams) numbers += std::to_string(one.flow.flow_id) + " ";
  return numbers;
}

// Datagrams of a bucket are served in the order in which they were read, also when it moves.
void TestOrder() {
  BucketTable table(VirtualRssConfig({0, 1}, 1, ""), {0, 1}, 2);
  Flag first, second;
  table.Attach(0, &first);
  table.Attach(1, &second);
  Check(table.ServesDirectly(1, 1) && !table.ServesDirectly(1, 0),
        "an owner serves what it reads itself");
  (void)table.PushDatagram(1, 0, Datagram(1));
  Check(table.ServesDirectly(1, 1), "also while the datagrams of other readers wait");
  uint32_t moves = table.moves();
  table.SetOwners({0, 0});
  Check(table.moves() != moves && table.owner(1) == 0, "a move is seen");
  Check(!table.ServesDirectly(1, 0) && table.ServesDirectly(0, 0),
        "a reader that becomes the owner has older datagrams in the inbox");
  (void)table.PushDatagram(1, 0, Datagram(2));
  Check(Drained(&table, 0) == "1 2 " && !table.ServesDirectly(1, 0), "they are served first");
  (void)table.PushDatagram(1, 1, Datagram(9));
  table.Delivered(0);
  Check(table.ServesDirectly(1, 0), "then it serves what it reads, whatever others have pushed");
  (void)Drained(&table, 0);
  table.Delivered(0);

  (void)table.PushDatagram(1, 1, Datagram(3));
  Check(Drained(&table, 0) == "3 ", "an owner has drained");
  table.SetOwners({0, 1});
  (void)table.PushDatagram(1, 1, Datagram(4));
  int woken = second.count;
  Check(Drained(&table, 1).empty() && !table.ServesDirectly(1, 1),
        "the next one waits until it has served");
  table.Delivered(0);
  Check(second.count == woken + 1, "and is woken");
  Check(Drained(&table, 1) == "4 ", "then it drains");
  table.Detach(1);
  Check(table.ServesDirectly(1, 1), "what a dying owner has drained holds nothing up");

  BucketTable placed(VirtualRssConfig({0, 1}, 1, ""), {0, 1}, 2, 0, true);
  (void)placed.PushDatagram(1, 0, Datagram(1));
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
  TestLengths();
  TestBounds();
  TestOrder();
  TestThreads();
}

}  // namespace rss_test
