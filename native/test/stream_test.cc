// Stream sockets, Unix and TCP: opened, connected, read and written without waiting. Buffers, and
// runs of datagrams.
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>

#include "platform/posix/accept.h"
#include "platform/posix/connect.h"
#include "platform/posix/datagrams.h"
#include "platform/posix/inspect.h"
#include "platform/posix/listener.h"
#include "platform/posix/stream.h"
#include "test/check.h"

namespace rss_test {
namespace {

using namespace rss;

ssize_t SendText(int fd, const char* text) {
  iovec part{const_cast<char*>(text), strlen(text)};
  return SendStream(fd, &part, 1);
}

std::string ReceiveText(int fd) {
  char buffer[64];
  if (!Await(fd, POLLIN)) return "nothing came";
  ssize_t received = ReceiveStream(fd, buffer, sizeof buffer);
  return received < 0 ? "errno " + std::to_string(-received)
                      : std::string(buffer, static_cast<size_t>(received));
}

// Data passes between both ends of a connection. `name` is for the report.
void TestConversation(UniqueFd client, UniqueFd server, const std::string& name) {
  char buffer[8];
  Check(ReceiveStream(server.get(), buffer, sizeof buffer) == -EAGAIN,
        name + ": reading does not wait");
  iovec parts[2] = {{const_cast<char*>("to"), 2}, {const_cast<char*>("gether"), 6}};
  Check(SendStream(client.get(), parts, 2) == 8 && ReceiveText(server.get()) == "together",
        name + ": pieces arrive as one");
  Check(SendText(server.get(), "answer") == 6 && ReceiveText(client.get()) == "answer",
        name + ": and an answer goes back");
  std::string much(1 << 20, 'm');
  iovec part{&much[0], much.size()};
  ssize_t last = 0;
  for (int i = 0; i < 1000 && last >= 0; ++i) last = SendStream(server.get(), &part, 1);
  Check(last == -EAGAIN, name + ": a full socket takes no more", std::to_string(last));
  client.reset();
  ssize_t broken = 0;
  for (int i = 0; i < 200 && (broken >= 0 || broken == -EAGAIN); ++i) {
    broken = SendText(server.get(), "x");
    usleep(10000);  // until the reset has come
  }
  Check(broken == -EPIPE || broken == -ECONNRESET,
        name + ": writing to a peer that has gone is an error, not a signal",
        std::to_string(broken));
}

void TestUnix() {
  std::string path = "/tmp/rss-selftest-" + std::to_string(getpid());
  auto listener = ListenUnix(path, 0600, 16);
  if (!CheckOk(listener, "a Unix socket listens")) return;
  struct stat status;
  Check(stat(path.c_str(), &status) == 0 && (status.st_mode & 0777) == 0600,
        "its file has the permissions asked for");
  auto client = ConnectUnix(path);
  Connection accepted;
  bool came = client.ok() && Await(listener.value.get(), POLLIN) &&
              AcceptConnection(listener.value.get(), &accepted) == 0;
  Check(came, "a Unix connection is accepted", Describe(client.failure));
  auto kind = InspectSocket(listener.value.get());
  Check(kind.ok() && kind.value.family == AF_UNIX && kind.value.listening,
        "a listening Unix socket is known as one");
  if (came) TestConversation(std::move(client.value), std::move(accepted.fd), "Unix");
  CheckFails(ListenUnix(path, 0600, 16), EADDRINUSE, "a served path is taken");
  listener.value.reset();
  Check(!ConnectUnix(path).ok(), "an abandoned path refuses connections");
  auto again = ListenUnix(path, 0600, 16);
  CheckOk(again, "an abandoned path is taken over");
  unlink(path.c_str());
  CheckFails(ListenUnix(std::string(200, 'x'), 0600, 16), ENAMETOOLONG, "a long path is an error");
}

Connecting To(const SocketAddress& peer) {
  Connecting how;
  how.peer = peer;
  return how;
}

void TestBuckets(Transport transport, const SocketAddress& server, const std::string& name) {
  RssConfig config = VirtualRssConfig({0, 1, 2, 3}, 4, "");
  config.udp_4tuple = true;
  FlowClassifier classifier(config);
  FlowPredictor predictor(classifier);
  Connecting how = To(server);
  how.transport = transport;
  int right = 0;
  SocketAddress local, peer;
  for (how.bucket = 0; how.bucket < 16; ++how.bucket) {
    auto chosen = Connect(how, &predictor);
    if (!chosen.ok() || !Await(chosen.value.get(), POLLOUT) ||
        !ConnectionAddresses(chosen.value.get(), &local, &peer).ok())
      continue;
    if (classifier.Hash(transport, peer, local).bucket == how.bucket) ++right;
  }
  Check(right == 16, name + ": connects from a port of each bucket", std::to_string(right));
  Flow other = classifier.Hash(transport, peer, local);
  other.from_kernel = true;
  other.flow_id ^= 1;
  predictor.Check(transport, other, peer, local);
  how.bucket = 0;
  CheckFails(Connect(how, &predictor), ENOTSUP,
             name + ": chooses no port behind a card with a key of its own");
  how.local = local;
  how.local.set_port(0);
  how.bucket = -1;
  auto given = Connect(how);
  // FreeBSD: a socket has no peer before it is connected.
  Check(given.ok() && Await(given.value.get(), POLLOUT) &&
            ConnectionAddresses(given.value.get(), &how.local, &peer).ok() &&
            how.local.Host() == local.Host() && how.local.port() != 0,
        name + ": connects from an address that is given");
  auto taken = Connect(how);
  Check(taken.failure.error == -EADDRINUSE || taken.failure.error == -EADDRNOTAVAIL,
        name + ": not from one and its port, which another has", Describe(taken.failure));
}

void TestTcp(const char* host) {
  ListenerOptions options;
  options.address = ParseAddress(host, 0).value;
  std::string name = std::string("TCP on ") + host;
  auto listener = OpenListener(options);
  if (!listener.ok()) return Skip(name, Describe(listener.failure));
  auto client = Connect(To(listener.value.address));
  if (!CheckOk(client, name + ": connects")) return;
  Check(Await(client.value.get(), POLLOUT) && ConnectError(client.value.get()) == 0,
        name + ": is connected once it is writable");
  Connection accepted;
  Await(listener.value.fd.get(), POLLIN);
  if (AcceptConnection(listener.value.fd.get(), &accepted) != 0)
    return Check(false, name + ": is accepted");
  int no_delay = 0;
  socklen_t length = sizeof no_delay;
  getsockopt(accepted.fd.get(), IPPROTO_TCP, TCP_NODELAY, &no_delay, &length);
  Check(no_delay != 0, name + ": an accepted connection inherits TCP_NODELAY");
  SocketAddress local, peer;
  Check(ConnectionAddresses(client.value.get(), &local, &peer).ok() && local == accepted.peer &&
            peer == accepted.local,
        name + ": both ends have the same addresses");
  TestConversation(std::move(client.value), std::move(accepted.fd), name);
  TestBuckets(Transport::kTcp, listener.value.address, name);
  SocketAddress unused = listener.value.address;
  listener.value.fd.reset();
  auto refused = Connect(To(unused));
  bool failed = !refused.ok() ? refused.failure.error == -ECONNREFUSED
                              : Await(refused.value.get(), POLLOUT) &&
                                    ConnectError(refused.value.get()) == -ECONNREFUSED;
  Check(failed, name + ": a refused connection says so");
}

// Connections to one peer hold many ports of an address: bind(2) may choose one of these.
void TestHeldPorts() {
  ListenerOptions options;
  options.address = ParseAddress("127.0.0.1", 0).value;
  auto listener = OpenListener(options);
  if (!CheckOk(listener, "a listener to hold ports by")) return;
  Connecting how = To(listener.value.address);
  how.local = ParseAddress("127.0.0.1", 0).value;
  constexpr size_t kHeld = 400;
  std::vector<UniqueFd> held;
  std::string failure;
  for (size_t i = 0; i < kHeld && failure.empty(); ++i) {
    auto client = Connect(how);
    if (!client.ok()) {
      failure = Describe(client.failure);
      break;
    }
    held.push_back(std::move(client.value));
    Connection accepted;
    if (Await(listener.value.fd.get(), POLLIN) &&
        AcceptConnection(listener.value.fd.get(), &accepted) == 0)
      held.push_back(std::move(accepted.fd));
  }
  Check(held.size() == 2 * kHeld, "an address without a port never fails for a port that is taken",
        failure);
}

// Buffers have the size that is asked for, or that the kernel grants.
void TestBuffers() {
  ListenerOptions options;
  options.transport = Transport::kUdp;
  options.address = ParseAddress("127.0.0.1", 0).value;
  options.buffers.exact = {64 << 10, 32 << 10};
  auto exact = OpenListener(options);
  if (!CheckOk(exact, "a socket with buffers of its own")) return;
  Check(BufferSize(exact.value.fd.get(), Buffer::kReceive) == 64 << 10 &&
            BufferSize(exact.value.fd.get(), Buffer::kSend) == 32 << 10 &&
            exact.value.short_buffers.empty(),
        "buffers have the size asked for");
  options.buffers.exact = {1 << 30, 0};
  auto greedy = OpenListener(options);
  if (!CheckOk(greedy, "a buffer that is too large is no error")) return;
  int size = BufferSize(greedy.value.fd.get(), Buffer::kReceive);
  const auto& lacking = greedy.value.short_buffers;
  bool said = lacking.size() == 1 && lacking[0].which == Buffer::kReceive &&
              lacking[0].wanted == 1 << 30 && lacking[0].granted == size;
  Check(size == 1 << 30 ? lacking.empty() : said,
        "it is as large as the kernel grants: " + std::to_string(size) + ", which is reported");
  int more = SetBufferSize(greedy.value.fd.get(), Buffer::kReceive, size + 1);
  Check(more == size || size == 1 << 30, "which is the limit exactly", std::to_string(more));
}

// What `datagramSize` promises: the largest datagram leaves, and arrives.
void TestLargestDatagram() {
  constexpr int kLargest = kLargestDatagram;
  ListenerOptions options;
  options.transport = Transport::kUdp;
  options.address = ParseAddress("127.0.0.1", 0).value;
  options.buffers.datagram_size = kLargest;
  auto server = OpenListener(options);
  if (!CheckOk(server, "a socket for the largest datagrams")) return;
  if (!server.value.short_buffers.empty())
    return Skip("the largest datagram", "the kernel grants no such buffers");
  Connecting how = To(server.value.address);
  how.transport = Transport::kUdp;
  how.datagram_size = kLargest;
  auto client = Connect(how);
  if (!CheckOk(client, "a connected one")) return;
  std::string payload(kLargest, 'd'), received(kLargest + 1, ' ');
  bool right = true;
  for (int i = 0; i < 2; ++i)
    right = right && SendText(client.value.get(), payload.c_str()) == kLargest;
  for (int i = 0; i < 2; ++i)
    right = right && Await(server.value.fd.get(), POLLIN) &&
            recv(server.value.fd.get(), &received[0], received.size(), MSG_DONTWAIT) == kLargest &&
            received.compare(0, kLargest, payload) == 0;
  Check(right, "the largest datagram leaves and arrives, two in a row");
}

UniqueFd UdpPeer(SocketAddress* address) {
  ListenerOptions options;
  options.transport = Transport::kUdp;
  options.address = ParseAddress("127.0.0.1", 0).value;
  auto opened = OpenListener(options);
  *address = opened.value.address;
  return std::move(opened.value.fd);
}

void TestUdp() {
  SocketAddress server;
  UniqueFd socket = UdpPeer(&server);
  TestBuckets(Transport::kUdp, server, "UDP");
  // One datagram, and several, without addresses, as the socket is connected.
  Connecting how = To(server);
  how.transport = Transport::kUdp;
  auto client = Connect(how);
  if (!CheckOk(client, "UDP: connects")) return;
  SocketAddress local, peer;
  bool found = ConnectionAddresses(client.value.get(), &local, &peer).ok();
  Check(found && peer == server, "UDP: knows both ends");
  const char text[] = "0123456789";
  OutgoingDatagram outgoing[4];
  for (size_t i = 0; i < 4; ++i) {
    outgoing[i].data = text + i;
    outgoing[i].length = i + 1;
  }
  DatagramBatcher batcher;
  Check(batcher.Send(client.value.get(), outgoing, 1) == 1, "UDP: sends one when connected");
  Check(batcher.Send(client.value.get(), outgoing + 1, 3) == 3, "UDP: and several");
  constexpr size_t kCell = 64;
  std::vector<uint8_t> slab(kDatagramBatch * kCell);
  std::vector<ReceivedDatagram> rows(kDatagramBatch);
  int received = 0;
  while (received < 4 && Await(socket.get(), POLLIN)) {
    int more = batcher.Receive(socket.get(), 0, slab.data(), kCell, kCell, rows.data());
    for (int i = 0; i < more; ++i, ++received) {
      OutgoingDatagram back;
      back.data = slab.data() + rows[i].cell * kCell;
      back.length = rows[i].length;
      back.peer = &rows[i].peer;
      Check(rows[i].peer == local && batcher.Send(socket.get(), &back, 1) == 1,
            "UDP: comes from the connected address");
    }
  }
  int at = 1;  // row 0 belongs to another socket
  while (at < 5 && Await(client.value.get(), POLLIN)) {
    int more =
        batcher.ReceiveConnected(client.value.get(), at, slab.data(), kCell, kCell, rows.data());
    if (more > 0) at += more;
  }
  bool right = at == 5;
  for (int i = 1; i < at; ++i) {
    size_t length = rows[i].length;
    const uint8_t* bytes = slab.data() + rows[i].cell * kCell;
    right = right && rows[i].cell == static_cast<uint32_t>(i) && length == static_cast<size_t>(i) &&
            memcmp(bytes, text + length - 1, length) == 0;
  }
  Check(right, "UDP: answers are read behind the rows that wait");
  socket.reset();
  Check(batcher.Send(client.value.get(), outgoing, 1) == 1 && Await(client.value.get(), POLLIN),
        "UDP: a closed peer is noticed");
  int refused =
      batcher.ReceiveConnected(client.value.get(), 0, slab.data(), kCell, kCell, rows.data());
  Check(refused == -ECONNREFUSED, "UDP: as ECONNREFUSED", std::to_string(refused));
}

// Datagrams of one length to one peer may leave as one message, but must arrive one by one.
void TestRuns() {
  SocketAddress from, addresses[2];
  UniqueFd sender = UdpPeer(&from), peers[2] = {UdpPeer(&addresses[0]), UdpPeer(&addresses[1])};
  struct Sent {
    int peer;
    size_t length;
  };
  const Sent plan[] = {{0, 100}, {0, 100}, {0, 100},  {0, 40},   {0, 100},  {1, 100},
                       {1, 100}, {0, 0},   {0, 1400}, {0, 1400}, {0, 1401}, {1, 100}};
  constexpr size_t count = sizeof plan / sizeof plan[0];
  std::vector<std::string> payloads;
  for (size_t i = 0; i < count; ++i)
    payloads.emplace_back(plan[i].length, static_cast<char>('a' + i));
  OutgoingDatagram outgoing[count];
  for (size_t i = 0; i < count; ++i) {
    outgoing[i].data = payloads[i].data();
    outgoing[i].length = plan[i].length;
    outgoing[i].peer = &addresses[plan[i].peer];
  }
  DatagramBatcher batcher;
  int sent = batcher.Send(sender.get(), outgoing, count);
  size_t right = 0;
  for (size_t i = 0; i < count; ++i) {
    char buffer[2048];
    int fd = peers[plan[i].peer].get();
    if (!Await(fd, POLLIN)) break;
    ssize_t received = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (received == static_cast<ssize_t>(plan[i].length) &&
        memcmp(buffer, payloads[i].data(), plan[i].length) == 0)
      ++right;
  }
  Check(sent == static_cast<int>(count) && right == count, "runs of datagrams arrive one by one",
        std::to_string(sent) + " sent, " + std::to_string(right) + " right");
}

}  // namespace

void TestStreams() {
  TestUnix();
  TestTcp("127.0.0.1");
  TestTcp("::1");
  TestHeldPorts();
  TestBuffers();
  TestLargestDatagram();
  TestUdp();
  TestRuns();
  Check(!WatchEdges(-1, -1), "no queue tells of edges on no descriptor");
}

}  // namespace rss_test
