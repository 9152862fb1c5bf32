// Groups of listeners under real traffic over loopback: which listener got which flow.
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "core/hash_type.h"
#include "platform/posix/accept.h"
#include "platform/posix/datagrams.h"
#include "platform/posix/inspect.h"
#include "platform/posix/listener.h"
#include "test/check.h"

namespace rss_test {
namespace {

using namespace rss;

constexpr int kFlows = 400;

struct Family {
  const char* name;
  const char* bind;
  const char* connect;
  bool v6_only;
};
const Family kFamilies[] = {
    {"IPv4", "127.0.0.1", "127.0.0.1", false},
    {"IPv4 wildcard", "0.0.0.0", "127.0.0.1", false},
    {"IPv6", "::1", "::1", true},
    {"dual stack, IPv6 peers", "::", "::1", false},
    {"dual stack, IPv4 peers", "::", "127.0.0.1", false},
};

struct Kernel {
  Capabilities can = ProbeCapabilities();
  bool rss = false;
  FlowClassifier classifier{Config()};

  RssConfig Config() {
    auto config = ReadKernelRssConfig();
    rss = config.ok();
    if (rss) return config.value;
    RssConfig derived = VirtualRssConfig(ProcessCpus().value, 3, "");
    derived.udp_4tuple = true;
    return derived;
  }
};

// Empty: usable. Otherwise why not.
std::string Unusable(Steering steering, const Kernel& kernel, bool v6) {
  bool linux_kernel = std::string(kernel.can.platform) == "linux";
  if (v6 && kernel.can.ipv6 != 0) return "no IPv6";
  switch (steering) {
    case Steering::kListenBucket:
      return (v6 ? kernel.can.listen_bucket_v6 : kernel.can.option(SocketOption::kListenBucket)) ==
                     0
                 ? ""
                 : "no RSS_LISTEN_BUCKET";
    case Steering::kReusePortLb:
      return linux_kernel || kernel.can.option(SocketOption::kReusePortLb) == 0
                 ? ""
                 : "no SO_REUSEPORT_LB";
    case Steering::kBpfToeplitz:
    case Steering::kBpfCpu:
      return kernel.can.reuse_port_bpf == 0 ? "" : "no SO_ATTACH_REUSEPORT_CBPF";
    case Steering::kSingle:
      return "";
  }
  return "";
}

int WaitReadable(const std::vector<OpenedListener>& group, int timeout_ms) {
  std::vector<pollfd> polled;
  for (const auto& listener : group) polled.push_back({listener.fd.get(), POLLIN, 0});
  if (poll(polled.data(), static_cast<nfds_t>(polled.size()), timeout_ms) <= 0) return -1;
  for (size_t i = 0; i < polled.size(); ++i)
    if (polled[i].revents != 0) return static_cast<int>(i);
  return -1;
}

std::string Counts(const std::vector<int>& counts) {
  std::string out;
  for (int count : counts) out += (out.empty() ? "" : "/") + std::to_string(count);
  return out;
}

Result<std::vector<OpenedListener>> Open(const Kernel& kernel, Transport transport,
                                         Steering steering, const Family& family) {
  ListenerOptions options;
  options.transport = transport;
  options.address = ParseAddress(family.bind, 0).value;
  options.ipv6_only = family.v6_only;
  options.backlog = 128;
  std::vector<int> buckets;
  std::vector<GroupMember> members;
  for (int i = 0; i < kernel.classifier.config().buckets(); ++i) {
    buckets.push_back(i);
    members.push_back({i});
  }
  if (steering == Steering::kSingle) members.resize(1);
  auto group = OpenGroup(options, steering, members);
  if (!group.ok()) return group;
  int first = group.value[0].fd.get();
  Status status = Nothing{};
  std::vector<int> listeners = steering == Steering::kBpfCpu ? std::vector<int>{0} : buckets;
  if (MethodOf(steering).program != nullptr)
    status = AttachProgram(steering, first, {kernel.classifier.config(), transport, listeners});
  if (!status.ok()) return status.failure;
  return group;
}

UniqueFd Client(const Family& family, int type, int number) {
  SocketAddress target = ParseAddress(family.connect, 0).value;
  UniqueFd fd(socket(target.family(), type | SOCK_CLOEXEC, 0));
  if (target.family() == AF_INET) {  // several source addresses, where the host has them
    char host[32];
    snprintf(host, sizeof host, "127.0.0.%d", 1 + number % 4);
    SocketAddress source = ParseAddress(host, 0).value;
    (void)!bind(fd.get(), &source.sa, source.length());
  }
  return fd;
}

struct Tally {
  std::vector<int> per_listener;
  int lost = 0;
  int hashed = 0;        // the kernel gave an RSS hash type
  int hash_wrong = 0;    // ... and it was not the Toeplitz hash of the flow
  int bucket_wrong = 0;  // the listener was not the bucket's
  int kernel_bucket_wrong = 0;
  int destination_wrong = 0;
  std::string error;
};

void Count(Tally* tally, const Kernel& kernel, Transport transport, const KernelFlow& flow,
           const SocketAddress& peer, const SocketAddress& local, int listener) {
  Flow classified = kernel.classifier.Classify(transport, flow, peer, local);
  Flow software = kernel.classifier.Hash(transport, peer, local);
  ++tally->per_listener[listener];
  if (HashTypeHasBucket(flow.hash_type)) {
    ++tally->hashed;
    if (kernel.rss && flow.flow_id != software.flow_id) ++tally->hash_wrong;
  }
  if (classified.bucket != listener) ++tally->bucket_wrong;
}

Tally RunTcp(const Kernel& kernel, const Family& family, std::vector<OpenedListener>& group) {
  Tally tally;
  tally.per_listener.resize(group.size());
  for (int i = 0; i < kFlows; ++i) {
    SocketAddress target = ParseAddress(family.connect, group[0].address.port()).value;
    UniqueFd client = Client(family, SOCK_STREAM, i);
    if (connect(client.get(), &target.sa, target.length()) != 0) {
      tally.error = strerror(errno);
      ++tally.lost;
      continue;
    }
    linger reset{1, 0};
    setsockopt(client.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    int listener = WaitReadable(group, 2000);
    Connection connection;
    int error = listener < 0 ? -ETIMEDOUT : AcceptConnection(group[listener].fd.get(), &connection);
    if (error != 0) {
      tally.error = strerror(-error);
      ++tally.lost;
      continue;
    }
    auto flow = GetKernelFlow(connection.fd.get());
    Count(&tally, kernel, Transport::kTcp, flow.value, connection.peer, connection.local, listener);
    auto connected = ConnectedFlow(connection.fd.get(), kernel.classifier);
    Flow expected =
        kernel.classifier.Classify(Transport::kTcp, flow.value, connection.peer, connection.local);
    if (!connected.ok() || connected.value.bucket != expected.bucket ||
        connected.value.flow_id != expected.flow_id)
      tally.error = "ConnectedFlow";
    if (!IsConnection(connection.fd.get(), connection.peer, connection.local) ||
        IsConnection(client.get(), connection.peer, connection.local))
      tally.error = "IsConnection";
  }
  return tally;
}

Tally RunUdp(const Kernel& kernel, const Family& family, std::vector<OpenedListener>& group) {
  Tally tally;
  tally.per_listener.resize(group.size());
  for (auto& member : group) {
    Status status = EnableDatagramInfo(member.fd.get(), false, true);
    if (!status.ok()) tally.error = Describe(status.failure);
  }
  DatagramBatcher batcher;
  std::vector<uint8_t> slab(kDatagramBatch * 128);
  std::vector<ReceivedDatagram> received(kDatagramBatch);
  for (int i = 0; i < kFlows; ++i) {
    SocketAddress target = ParseAddress(family.connect, group[0].address.port()).value;
    UniqueFd client = Client(family, SOCK_DGRAM, i);
    (void)!sendto(client.get(), &i, sizeof i, 0, &target.sa, target.length());
    int listener = WaitReadable(group, 2000);
    int count = listener < 0 ? -ETIMEDOUT
                             : batcher.Receive(group[listener].fd.get(), 0, slab.data(), 128, 100,
                                               received.data());
    if (count != 1 || received[0].length != sizeof i || memcmp(slab.data(), &i, sizeof i) != 0) {
      ++tally.lost;
      continue;
    }
    const DatagramInfo& info = received[0].info;
    SocketAddress local = info.has_destination ? info.destination : group[0].address;
    local.set_port(target.port());
    if (!info.has_destination || local.Unmapped() != target) ++tally.destination_wrong;
    Count(&tally, kernel, Transport::kUdp, info.flow, received[0].peer, local, listener);
    if (kernel.rss && HashTypeHasBucket(info.flow.hash_type) &&
        info.kernel_bucket != kernel.classifier.config().BucketOf(info.flow.flow_id))
      ++tally.kernel_bucket_wrong;
  }
  return tally;
}

void Judge(const Kernel& kernel, Transport transport, Steering steering, const Family& family,
           const Tally& t) {
  std::string name = std::string(transport == Transport::kTcp ? "TCP " : "UDP ") +
                     MethodOf(steering).name + ", " + family.name;
  bool udp = transport == Transport::kUdp;
  Check(t.lost == 0 && t.error.empty(),
        name + ": all " + std::to_string(kFlows) + " arrive, " + Counts(t.per_listener),
        std::to_string(t.lost) + " lost, " + t.error);
  if (udp)
    Check(t.destination_wrong == 0, name + ": the destination address comes with each",
          std::to_string(t.destination_wrong) + " without");
  if (kernel.rss && t.hashed == 0) {
    // FreeBSD delivers no flow of IPv4 peers to a dual-stack UDP socket (ip6_savecontrol_v4()).
    Skip(name + ": the kernel's flow id", "no packet came with one");
  } else if (kernel.rss) {
    Check(t.hash_wrong == 0,
          name + ": the kernel's flow id is the Toeplitz hash, " + std::to_string(t.hashed) +
              " hashed",
          std::to_string(t.hash_wrong) + " differ");
    if (udp)
      Check(t.kernel_bucket_wrong == 0, name + ": the bucket message is flow id & mask",
            std::to_string(t.kernel_bucket_wrong) + " differ");
  }
  if (steering == Steering::kListenBucket) {
    if (t.hashed < kFlows && t.bucket_wrong > 0)
      Skip(name + ": the listener is the bucket's",
           std::to_string(kFlows - t.hashed) + " flows were not hashed (netisr threads: " +
               std::to_string(kernel.can.netisr_threads) + ")");
    else
      Check(t.bucket_wrong == 0, name + ": the listener is the bucket's",
            std::to_string(t.bucket_wrong) + " elsewhere");
  }
  if (steering == Steering::kBpfToeplitz)
    Check(t.bucket_wrong == 0, name + ": the listener is the bucket's",
          std::to_string(t.bucket_wrong) + " elsewhere");
  if (steering == Steering::kReusePortLb && kernel.can.option(SocketOption::kListenBucket) != 0) {
    int used = 0;
    for (int count : t.per_listener) used += count > 0;
    bool balances =
        family.v6_only || MethodOf(steering).dual_stack() || strcmp(family.bind, "::") != 0;
    if (t.per_listener.size() > 1)
      Check((used > 1) == balances, name + (balances ? ": more than one listener is used"
                                                     : ": one listener gets all, as known"));
  }
}

void TestGroups(Transport transport) {
  Kernel kernel;
  for (Steering steering : {Steering::kListenBucket, Steering::kReusePortLb, Steering::kBpfToeplitz,
                            Steering::kBpfCpu, Steering::kSingle}) {
    for (const Family& family : kFamilies) {
      std::string name = std::string(transport == Transport::kTcp ? "TCP " : "UDP ") +
                         MethodOf(steering).name + ", " + family.name;
      std::string unusable = Unusable(steering, kernel, strchr(family.bind, ':') != nullptr);
      if (!unusable.empty()) {
        Skip(name, unusable);
        continue;
      }
      auto group = Open(kernel, transport, steering, family);
      if (!CheckOk(group, name + ": opened")) continue;
      Judge(kernel, transport, steering, family,
            transport == Transport::kTcp ? RunTcp(kernel, family, group.value)
                                         : RunUdp(kernel, family, group.value));
    }
  }
}

// A port of another group is refused, not shared.
void TestTaken(Transport transport) {
  Kernel kernel;
  for (Steering steering :
       {Steering::kListenBucket, Steering::kReusePortLb, Steering::kBpfToeplitz}) {
    if (!Unusable(steering, kernel, false).empty()) continue;
    auto first = Open(kernel, transport, steering, kFamilies[0]);
    if (!CheckOk(first, "a group to stand in the way")) continue;
    ListenerOptions options;
    options.transport = transport;
    options.address = first.value[0].address;
    options.unshared = true;
    CheckFails(OpenGroup(options, steering, {GroupMember()}), EADDRINUSE,
               std::string(transport == Transport::kTcp ? "TCP " : "UDP ") +
                   MethodOf(steering).name + ": a second group on the port is EADDRINUSE");
  }
}

// What the kernel's flow messages cost their receiver. Returns nanoseconds per datagram; 0: lost.
double ReceiveCost(bool flows) {
  constexpr int kRounds = 300;
  ListenerOptions options;
  options.transport = Transport::kUdp;
  options.address = ParseAddress("127.0.0.1", 0).value;
  auto server = OpenListener(options);
  if (!server.ok() || !EnableDatagramInfo(server.value.fd.get(), true, flows).ok()) return 0;
  const SocketAddress target = server.value.address;
  UniqueFd client(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  DatagramBatcher batcher;
  std::vector<uint8_t> slab(kDatagramBatch * 128);
  std::vector<ReceivedDatagram> received(kDatagramBatch);
  std::chrono::steady_clock::duration spent{};
  for (int round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kDatagramBatch; ++i)
      (void)!sendto(client.get(), &i, sizeof i, 0, &target.sa, target.length());
    for (int count = 0; count < kDatagramBatch;) {
      if (!Await(server.value.fd.get(), POLLIN)) return 0;
      auto begun = std::chrono::steady_clock::now();
      count += std::max(
          0, batcher.Receive(server.value.fd.get(), 0, slab.data(), 128, 100, received.data()));
      spent += std::chrono::steady_clock::now() - begun;
    }
  }
  return std::chrono::duration<double, std::nano>(spent).count() / (kRounds * kDatagramBatch);
}

void TestReceiveCost() {
  const char* name = "the cost of flow messages";
  if (Kernel().can.option(SocketOption::kRecvFlowId) != 0) return Skip(name, "there are none");
  ReceiveCost(true);  // warms up
  double with = ReceiveCost(true), without = ReceiveCost(false);
  Check(with > 0 && without > 0, std::string(name) + ": a datagram is received in " +
                                     std::to_string(static_cast<int>(with)) + " ns, without in " +
                                     std::to_string(static_cast<int>(without)) + " ns");
}

void TestReply(const char* bind_host, const char* target_host) {
  std::string name = std::string("a reply from ") + bind_host + " leaves from " + target_host;
  ListenerOptions options;
  options.transport = Transport::kUdp;
  options.address = ParseAddress(bind_host, 0).value;
  auto server = OpenListener(options);
  if (!server.ok()) return Skip(name, Describe(server.failure));
  (void)EnableDatagramInfo(server.value.fd.get(), false, true);
  SocketAddress target = ParseAddress(target_host, server.value.address.port()).value;
  UniqueFd client(socket(target.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (sendto(client.get(), "ping", 4, 0, &target.sa, target.length()) != 4)
    return Skip(name, std::string("sendto: ") + strerror(errno));
  pollfd wait{server.value.fd.get(), POLLIN, 0};
  poll(&wait, 1, kPatienceMs);
  DatagramBatcher batcher;
  std::vector<uint8_t> slab(kDatagramBatch * 128);
  std::vector<ReceivedDatagram> received(kDatagramBatch);
  int count = batcher.Receive(server.value.fd.get(), 0, slab.data(), 128, 100, received.data());
  if (count != 1) return Check(false, name, "received " + std::to_string(count));
  OutgoingDatagram reply;
  reply.data = slab.data();
  reply.length = 4;
  reply.peer = &received[0].peer;
  reply.source = &received[0].info.destination;
  reply.flow = received[0].info.flow;
  int sent = batcher.Send(server.value.fd.get(), &reply, 1);
  wait.fd = client.get();
  poll(&wait, 1, kPatienceMs);
  SocketAddress from;
  socklen_t length = sizeof from.v6;
  char text[8];
  ssize_t got = recvfrom(client.get(), text, sizeof text, MSG_DONTWAIT, &from.sa, &length);
  Check(sent == 1 && got == 4 && from == target, name,
        "sent " + std::to_string(sent) + ", received " + std::to_string(got) + " from " +
            from.Host());
}

// A datagram that answers none, to an IPv4 peer, by a flow of its own. udp_output() takes a flow of
// IPv4, from a socket of either family.
void TestUnasked(const char* bind_host) {
  std::string name = std::string("a datagram from ") + bind_host + " leaves with the flow given";
  ListenerOptions options;
  options.transport = Transport::kUdp;
  options.address = ParseAddress(bind_host, 0).value;
  auto server = OpenListener(options);
  if (!server.ok()) return Skip(name, Describe(server.failure));
  const SocketAddress local = ParseAddress("127.0.0.1", server->address.port()).value;
  UniqueFd client(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  SocketAddress peer = ParseAddress("127.0.0.1", 0).value;
  socklen_t length = sizeof peer.v6;
  if (bind(client.get(), &peer.sa, peer.length()) != 0 ||
      getsockname(client.get(), &peer.sa, &length) != 0)
    return Check(false, name, strerror(errno));
  Kernel kernel;
  Flow flow = kernel.classifier.Hash(Transport::kUdp, peer, local);
  if (server->address.family() == AF_INET6) peer = peer.Mapped();
  OutgoingDatagram unasked;
  unasked.data = "unasked";
  unasked.length = 7;
  unasked.peer = &peer;
  unasked.flow = {flow.flow_id, flow.hash_type};
  alignas(cmsghdr) char control[kControlSize];
  bool hinted = BuildReplyControl(nullptr, peer, unasked.flow, control) > 0;
  Check(hinted == (std::string(kernel.can.platform) == "freebsd"), name + ": in its messages");
  DatagramBatcher batcher;
  int sent = batcher.Send(server->fd.get(), &unasked, 1);
  char text[8];
  Check(sent == 1 && Await(client.get(), POLLIN) &&
            recv(client.get(), text, sizeof text, MSG_DONTWAIT) == 7,
        name, std::to_string(sent));
}

// All members have domain 0, which exists on every kernel.
void TestDomains() {
  Kernel kernel;
  if (kernel.can.option(SocketOption::kReusePortLbNuma) != 0)
    return Skip("a group in a NUMA domain", "no TCP_REUSPORT_LB_NUMA");
  ListenerOptions options;
  options.address = ParseAddress("127.0.0.1", 0).value;
  auto group = OpenGroup(options, Steering::kReusePortLb, {{0, 0}, {0, 0}});
  if (!CheckOk(group, "a group in a NUMA domain")) return;
  int served = 0;
  for (int i = 0; i < 20; ++i) {
    UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    SocketAddress to = group.value[0].address;
    if (connect(client.get(), &to.sa, to.length()) != 0) continue;
    int listener = WaitReadable(group.value, 1000);
    Connection connection;
    if (listener >= 0 && AcceptConnection(group.value[listener].fd.get(), &connection) == 0)
      ++served;
  }
  Check(served == 20, "its members serve connections without a domain",
        std::to_string(served) + " of 20");
}

}  // namespace

void TestTcpGroups() {
  TestGroups(Transport::kTcp);
  TestTaken(Transport::kTcp);
  TestDomains();
}

void TestUdpGroups() {
  TestGroups(Transport::kUdp);
  TestTaken(Transport::kUdp);
  TestReceiveCost();
}

void TestReplies() {
  TestReply("0.0.0.0", "127.0.0.1");
  TestReply("0.0.0.0", "127.0.0.2");
  TestReply("::", "::1");
  TestReply("::", "127.0.0.1");
  TestReply("::", "127.0.0.2");
  DatagramBatcher batcher;
  std::vector<uint8_t> slab(2 * kDatagramBatch * 128);
  std::vector<ReceivedDatagram> received(2 * kDatagramBatch);
  ListenerOptions options;
  options.transport = Transport::kUdp;
  options.address = ParseAddress("127.0.0.1", 0).value;
  auto server = OpenListener(options);
  SocketAddress target = server.value.address;
  UniqueFd client(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  char large[300] = "large";
  (void)!sendto(client.get(), large, sizeof large, 0, &target.sa, target.length());
  (void)!sendto(client.get(), large, 0, 0, &target.sa, target.length());
  int count = 0;
  while (count < 2 && Await(server.value.fd.get(), POLLIN)) {
    int more =
        batcher.Receive(server.value.fd.get(), count, slab.data(), 128, 100, received.data());
    if (more < 0) break;
    count += more;
  }
  Check(count == 2 && received[0].truncated && received[0].length == 100 &&
            !received[1].truncated && received[1].length == 0,
        "a datagram larger than its cell is cut and marked, an empty one is one",
        std::to_string(count));
  Check(
      batcher.Receive(server.value.fd.get(), 0, slab.data(), 128, 100, received.data()) == -EAGAIN,
      "no datagram is EAGAIN");

  TestUnasked("127.0.0.1");
  TestUnasked("::");
}

}  // namespace rss_test
