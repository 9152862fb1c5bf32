// Sockets of single flows: counting flows, and a connected socket beside a group.
#include "platform/posix/flow_socket.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <random>
#include <string>
#include <vector>

#include "core/flow_counts.h"
#include "core/passed_sockets.h"
#include "platform/posix/listener.h"
#include "test/check.h"

namespace rss_test {
namespace {

using namespace rss;

constexpr int kPeers = 100;
constexpr int kPromoted = 20;

void TestFlowCounts() {
  FlowCounts counts(1);
  auto at = [](const char* host, uint16_t port) { return ParseAddress(host, port).value; };
  FlowKey a(at("10.0.0.1", 1), at("10.0.0.2", 5), 0), b(at("10.0.0.1", 2), at("10.0.0.2", 5), 0);
  FlowKey mapped(at("::ffff:10.0.0.1", 1), at("::ffff:10.0.0.2", 6), 0);
  FlowKey other(at("10.0.0.1", 1), at("10.0.0.2", 5), 1);
  bool right = counts.Add(a) == 1 && counts.Add(a) == 2 && counts.Add(b) == 1 &&
               counts.Add(mapped) == 3 && counts.Add(other) == 1;
  counts.Forget(a);
  Check(right && counts.Add(a) == 1 && counts.Add(b) == 2,
        "datagrams are counted by peer, local address and endpoint");

  // Each round has a datagram of 50 flows that last, and 2,000 of flows with one datagram each.
  FlowCounts flooded(2);
  std::mt19937 random(3);
  std::vector<uint32_t> most(50);
  for (int round = 0; round < 200; ++round) {
    for (uint16_t i = 0; i < most.size(); ++i) {
      uint32_t count = flooded.Add(FlowKey(at("10.1.0.1", i), at("10.0.0.2", 5), 0));
      if (count > most[i]) most[i] = count;
    }
    for (int i = 0; i < 2000; ++i) {
      SocketAddress peer = at("10.2.0.0", static_cast<uint16_t>(random()));
      peer.v4.sin_addr.s_addr ^= static_cast<uint32_t>(random()) & 0xffff0000;
      flooded.Add(FlowKey(peer, at("10.0.0.2", 5), 0));
    }
  }
  int kept = 0;
  for (uint32_t count : most) kept += count >= 32;
  Check(kept >= 40, "flows that last are found among 40 times as many datagrams of others",
        std::to_string(kept) + " of 50");
}

void TestPassedSockets() {
  PassedSockets passed;
  std::vector<uint32_t> tickets;
  const size_t most = PassedSockets::kMost;
  for (size_t i = 0; i < most; ++i) tickets.push_back(passed.Put({}, most));
  PassedSocket kept;
  kept.dropped = 7;
  bool full = passed.Put(std::move(kept), most) == 0 && kept.dropped == 7;
  for (uint32_t ticket : tickets) (void)passed.Take(ticket);
  kept.fd.reset(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  int fd = kept.fd.get();
  uint32_t ticket = passed.Put(std::move(kept), most);
  PassedSocket taken = passed.Take(ticket);
  Check(
      full && ticket != 0 && taken.fd.get() == fd && taken.dropped == 7 && !passed.Take(ticket).fd,
      "a passed socket is taken once, and there are only so many");
}

struct Place {
  const char* name;
  const char* bind;
  const char* connect;
};

// The members, and the flows' own sockets behind them.
struct Served {
  std::vector<int> sockets;

  // Reads a datagram of each peer. FreeBSD's loopback delivers them by another thread. Returns the
  // socket that had the datagram of each peer. -1: none had it; -2: there were several.
  std::vector<int> Read(int peers) const {
    std::vector<int> at(static_cast<size_t>(peers), -1);
    std::vector<pollfd> polled;
    for (int fd : sockets) polled.push_back({fd, POLLIN, 0});
    for (int left = peers; left > 0;) {
      if (poll(polled.data(), static_cast<nfds_t>(polled.size()), kPatienceMs) <= 0) break;
      for (size_t i = 0; i < sockets.size(); ++i) {
        int peer;
        for (; recv(sockets[i], &peer, sizeof peer, MSG_DONTWAIT) == sizeof peer; --left) {
          int& socket = at[static_cast<size_t>(peer)];
          socket = socket == -1 ? static_cast<int>(i) : -2;
        }
      }
    }
    return at;
  }
};

void SendAll(const std::vector<UniqueFd>& clients) {
  for (int i = 0; i < static_cast<int>(clients.size()); ++i)
    (void)!send(clients[static_cast<size_t>(i)].get(), &i, sizeof i, 0);
}

void TestBeside(Steering steering, const Place& place) {
  std::string name =
      std::string("a flow's socket beside ") + MethodOf(steering).name + ", " + place.name;
  ListenerOptions options;
  options.transport = Transport::kUdp;
  options.address = ParseAddress(place.bind, 0).value;
  options.ipv6_only = true;
  options.flow_sockets = true;
  options.buffers.exact.receive = 200000;
  std::vector<GroupMember> members(steering == Steering::kSingle ? 1 : 4);
  auto group = OpenGroup(options, steering, members);
  if (!CheckOk(group, name + ": the group")) return;
  SocketAddress local = ParseAddress(place.connect, group.value[0].address.port()).value;
  Served served;
  for (const auto& member : group.value) served.sockets.push_back(member.fd.get());

  std::vector<UniqueFd> clients;
  std::vector<SocketAddress> peers;
  for (int i = 0; i < kPeers; ++i) {
    UniqueFd client(socket(local.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
    SocketAddress peer;
    socklen_t length = sizeof peer.v6;
    bool connected = connect(client.get(), &local.sa, local.length()) == 0 &&
                     getsockname(client.get(), &peer.sa, &length) == 0;
    if (!connected) return Check(false, name + ": clients", strerror(errno));
    clients.push_back(std::move(client));
    peers.push_back(peer);
  }
  SendAll(clients);
  const std::vector<int> before = served.Read(kPeers);

  std::vector<UniqueFd> own;
  int strays = 0, taken = 0, moved = 0;
  for (int i = 0; i < kPromoted; ++i) {
    auto bound = static_cast<size_t>(before[static_cast<size_t>(i)]);
    auto opened = OpenFlowSocket(group.value[bound].fd.get(), local);
    if (!opened.ok()) return Check(false, name + ": bound", Describe(opened.failure));
    const int last = static_cast<int>(served.sockets.size());
    served.sockets.push_back(opened->get());
    own.push_back(std::move(*opened));
    SendAll(clients);
    std::vector<int> between = served.Read(kPeers);
    for (int peer = 0; peer < kPeers; ++peer) strays += between[static_cast<size_t>(peer)] == last;
    Status status = ConnectFlowSocket(own.back().get(), peers[static_cast<size_t>(i)]);
    if (!status.ok()) return Check(false, name + ": connected", Describe(status.failure));
  }
  const int others = kPeers - kPromoted + 1;
  Check(TakesAllUntilConnected() ? strays >= others * kPromoted : strays == 0,
        name + (TakesAllUntilConnected() ? ": until it is connected it takes all datagrams"
                                         : ": until it is connected it takes no datagram"),
        std::to_string(strays));

  SendAll(clients);
  std::vector<int> after = served.Read(kPeers);
  const int first = static_cast<int>(members.size());
  for (int peer = 0; peer < kPeers; ++peer) {
    int at = after[static_cast<size_t>(peer)];
    if (peer < kPromoted)
      taken += at == first + peer;
    else
      moved += at != before[static_cast<size_t>(peer)];
  }
  Check(taken == kPromoted && moved == 0, name + ": it takes its peer's datagrams, and no others",
        std::to_string(taken) + " of " + std::to_string(kPromoted) + " taken, " +
            std::to_string(moved) + " of others moved");

  // What is queued stays; what comes later goes to the group.
  SendAll(clients);
  for (const UniqueFd& fd : own) (void)Await(fd.get(), POLLIN);
  for (const UniqueFd& fd : own) LeaveFlow(fd.get());
  std::vector<int> queued = served.Read(kPeers);
  SendAll(clients);
  std::vector<int> later = served.Read(kPeers);
  Check(queued == after && later == before,
        name + ": after it has left, the group has the peer again, and nothing is lost");
}

}  // namespace

void TestFlowSockets() {
  TestFlowCounts();
  TestPassedSockets();
  Capabilities can = ProbeCapabilities();
  bool linux_kernel = std::string(can.platform) == "linux";
  Steering steering = linux_kernel ? Steering::kSingle : Steering::kReusePortLb;
  for (const Place& place :
       {Place{"IPv4", "127.0.0.1", "127.0.0.1"}, Place{"IPv4 wildcard", "0.0.0.0", "127.0.0.1"},
        Place{"IPv6", "::1", "::1"}, Place{"IPv6 wildcard", "::", "::1"}}) {
    if (!linux_kernel && strtod(can.release.c_str(), nullptr) < 14)
      Skip(std::string("a flow's socket beside a group, ") + place.name, "before FreeBSD 14");
    else if (strchr(place.bind, ':') != nullptr && can.ipv6 != 0)
      Skip(std::string("a flow's socket beside a group, ") + place.name, "no IPv6");
    else
      TestBeside(steering, place);
  }
}

}  // namespace rss_test
