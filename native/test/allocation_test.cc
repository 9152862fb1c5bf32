// What is done for each datagram allocates nothing.
#include <poll.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "core/bucket_table.h"
#include "core/flow_counts.h"
#include "platform/posix/datagrams.h"
#include "platform/posix/listener.h"
#include "test/check.h"

namespace rss_test {
namespace {

using namespace rss;

constexpr size_t kCell = 128;
constexpr int kReader = 0, kOwner = 1;
constexpr int kBurst = 32;

class NoWaker final : public Waker {
 public:
  void Wake() override {}
};

// What the owner serves: a reply to each datagram, by the bound socket.
class Replies final : public DatagramReceiver {
 public:
  void OnForwarded(const ForwardedDatagram& datagram, const uint8_t* payload) override {
    uint8_t* cell = slab_.data() + count * kCell;
    memcpy(cell, payload, datagram.length);
    peers_[count] = datagram.peer;
    batch[count] = OutgoingDatagram();
    batch[count].data = cell;
    batch[count].length = datagram.length;
    batch[count].peer = &peers_[count];
    batch[count].flow = datagram.kernel;
    ++count;
  }

  size_t count = 0;
  OutgoingDatagram batch[kDatagramBatch];

 private:
  std::vector<uint8_t> slab_ = std::vector<uint8_t>(kDatagramBatch * kCell);
  SocketAddress peers_[kDatagramBatch];
};

// Sends, reads, classifies, forwards, serves and answers datagrams as DatagramEngine does.
class Forwarder {
 public:
  explicit Forwarder(bool placed)
      : table_(VirtualRssConfig({0, 1}, 1, ""), {kOwner, kOwner}, 2, 0, placed), counts_(1) {
    ListenerOptions options;
    options.transport = Transport::kUdp;
    options.address = ParseAddress("127.0.0.1", 0).value;
    auto server = OpenListener(options);
    if (!CheckOk(server, "a socket for datagrams to forward")) return;
    local_ = server->address;
    server_ = std::move(server->fd);
    client_.reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    (void)EnableDatagramInfo(server_.get(), true, true);
    table_.Attach(kOwner, &waker_);
  }
  ~Forwarder() { table_.Detach(kOwner); }

  // Returns how many datagrams were answered.
  int Exchange() {
    char bytes[kCell] = "a datagram";
    for (int i = 0; i < kBurst; ++i)
      (void)!sendto(client_.get(), bytes, 100, 0, &local_.sa, local_.length());
    for (int read = 0; read < kBurst && Await(server_.get(), POLLIN);) {
      int received =
          batcher_.Receive(server_.get(), 0, slab_.data(), kCell, kCell, received_.data());
      for (int i = 0; i < received; ++i) Forward(received_[static_cast<size_t>(i)]);
      table_.WakeOwners(kReader);
      read += std::max(received, 1);
    }
    int sent = 0;
    for (bool more = true; more;) {
      replies_.count = 0;
      more = table_.DrainDatagrams(kOwner, kDatagramBatch, &replies_);
      if (replies_.count > 0)
        sent += batcher_.Send(server_.get(), replies_.batch, static_cast<int>(replies_.count));
      table_.Delivered(kOwner);
    }
    int answered = 0;
    while (answered < sent && Await(client_.get(), POLLIN) &&
           recv(client_.get(), bytes, sizeof bytes, 0) == 100)
      ++answered;
    return answered;
  }

 private:
  void Forward(const ReceivedDatagram& row) {
    ForwardedDatagram datagram;
    datagram.flow = table_.classifier().Classify(Transport::kUdp, row.info.flow, row.peer, local_);
    table_.samples().Add(Transport::kUdp, row.info.flow, row.peer, local_);
    datagram.kernel = row.info.flow;
    datagram.peer = row.peer;
    datagram.length = row.length;
    (void)table_.PushDatagram(datagram.flow.bucket, kReader, datagram,
                              slab_.data() + row.cell * kCell);
    counts_.Add(FlowKey(row.peer, local_, 0));
  }

  BucketTable table_;
  FlowCounts counts_;
  NoWaker waker_;
  SocketAddress local_;
  UniqueFd server_, client_;
  DatagramBatcher batcher_;
  std::vector<uint8_t> slab_ = std::vector<uint8_t>(kDatagramBatch * kCell);
  std::vector<ReceivedDatagram> received_ = std::vector<ReceivedDatagram>(kDatagramBatch);
  Replies replies_;
};

}  // namespace

void TestAllocations() {
  constexpr int kRounds = 100;
  for (bool placed : {false, true}) {
    auto forwarder = std::make_unique<Forwarder>(placed);
    (void)forwarder->Exchange();
    const size_t before = Allocations();
    int answered = 0;
    for (int round = 0; round < kRounds; ++round) answered += forwarder->Exchange();
    const size_t during = Allocations() - before;
    Check(answered == kRounds * kBurst && during == 0,
          std::string("datagrams are forwarded and answered without allocations") +
              (placed ? ", also where the kernel places them" : ""),
          std::to_string(answered) + " answered, " + std::to_string(during) + " allocations");
  }
}

}  // namespace rss_test
