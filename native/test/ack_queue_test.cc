// What the kernel reports about acknowledgements, and when.
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "platform/posix/shm.h"
#include "platform/posix/stream.h"
#include "test/check.h"
#include "test/pair.h"

namespace rss_test {
namespace {

using namespace rss;

// A connection whose acknowledgements are reported under its id.
struct Sender {
  Sender(AckQueue* q, uint32_t name) : queue(q), id(name), pair(Connect(false)) {
    prepared = pair.sender && queue->Prepare(pair.sender.get(), id);
  }

  // Sends as a whole, and begins to wait.
  bool Send(size_t size) {
    std::string bytes(size, 'a');
    iovec part{&bytes[0], size};
    return Wait(SendStream(pair.sender.get(), &part, 1, true) == static_cast<ssize_t>(size));
  }
  bool SendRange(const Segment& segment, size_t size) {
    FileRange range;
    range.fd = segment.fd();
    range.report_ack = true;
    while (range.offset < size && Await(pair.sender.get(), POLLOUT)) {
      range.length = size - range.offset;
      ssize_t sent = SendFile(pair.sender.get(), nullptr, 0, range);
      if (sent < 0 && sent != -EAGAIN) break;
      if (sent > 0) range.offset += static_cast<size_t>(sent);
    }
    return Wait(range.offset == size);
  }
  bool Wait(bool sent) { return sent && queue->Await(pair.sender.get(), id, true); }
  bool Read(size_t size) { return ReadAll(pair.receiver.get(), size).size() == size; }
  ssize_t Rest() const { return Unacknowledged(pair.sender.get()); }

  AckQueue* queue;
  uint32_t id;
  Pair pair;
  bool prepared = false;
};

std::vector<uint32_t> Take(AckQueue* queue) {
  uint32_t ids[8];
  size_t count = queue->Take(ids, 8);
  return {ids, ids + count};
}

// Takes reports until one is about this socket, and its output is acknowledged.
bool Reports(AckQueue* queue, const Sender& about) {
  for (double begin = NowMs(); NowMs() - begin < kPatienceMs;) {
    if (!Await(queue->fd(), POLLIN)) return false;
    auto ids = Take(queue);
    if (std::count(ids.begin(), ids.end(), about.id) > 0 && about.Rest() == 0) return true;
  }
  return false;
}

bool IsReadable(int fd) {
  pollfd wait{fd, POLLIN, 0};
  return poll(&wait, 1, 0) == 1;
}

void TestOne(AckQueue* queue, const Segment& segment) {
  Sender sender(queue, 7);
  Check(sender.prepared && !IsReadable(queue->fd()), "a socket has nothing to report at first");
  for (size_t size : {size_t{1}, size_t{1000}, segment.size()}) {
    bool file = size == segment.size();
    double begin = NowMs();
    bool sent = file ? sender.SendRange(segment, size) : sender.Send(size);
    double acknowledged = -1;
    while (sent && !IsReadable(queue->fd()) && NowMs() - begin < kPatienceMs)
      if (acknowledged < 0 && sender.Rest() == 0) acknowledged = NowMs() - begin;
    double reported = NowMs() - begin;
    std::string name = std::to_string(size) + (file ? " bytes of a segment" : " bytes");
    Check(sent && Reports(queue, sender), name + ": their acknowledgement is reported");
    printf(
        "        %s: seen to be acknowledged after %.2f ms (-1: not before), reported after "
        "%.2f ms\n",
        name.c_str(), acknowledged, reported);
    Check(sender.Read(size), name + " arrive");
  }
  pollfd error{sender.pair.sender.get(), 0, 0};
  Check(poll(&error, 1, 0) == 0 && !IsReadable(queue->fd()), "reports that were taken are gone");
}

void TestMany(AckQueue* queue) {
  constexpr uint32_t kMany = 100;
  std::vector<Sender> senders;
  senders.reserve(kMany);
  for (uint32_t id = 0; id < kMany; ++id) senders.emplace_back(queue, id);
  size_t sent = 0;
  for (Sender& sender : senders) sent += sender.Send(100) ? 1 : 0;
  std::vector<bool> told(kMany);
  size_t left = kMany;
  while (left > 0 && Await(queue->fd(), POLLIN)) {
    for (uint32_t id : Take(queue)) {
      if (id >= kMany || told[id] || senders[id].Rest() != 0) continue;
      told[id] = true;
      --left;
    }
  }
  Check(sent == kMany && left == 0, "many sockets wait, and each is reported",
        std::to_string(kMany - left) + " of " + std::to_string(sent));
}

void TestTwoSends(AckQueue* queue) {
  Sender full(queue, 1), other(queue, 2);
  size_t before = Fill(full.pair);
  Check(before > 0 && full.Wait(true) && full.Rest() > 0 && other.Send(100),
        "one socket is full, and another one sends");
  Check(Reports(queue, other), "the other one is reported");
  auto ids = Take(queue);
  Check(full.Rest() > 0 && std::count(ids.begin(), ids.end(), 1) == 0, "the full one is not");
  Check(full.Read(before), "it is read");
  Check(full.Send(100) && full.Send(200) && Reports(queue, full) && full.Read(300),
        "two more sends of it are reported");
}

void TestEnds(AckQueue* queue) {
  Sender sender(queue, 3);
  Check(sender.Send(100) && shutdown(sender.pair.sender.get(), SHUT_WR) == 0 &&
            Reports(queue, sender),
        "the end of the stream does not count as unacknowledged");
  Sender reset(queue, 4);
  Check(reset.Send(100), "a connection that is reset has sent");
  ResetOnClose(reset.pair.receiver.get());
  reset.pair.receiver.reset();
  Check(Await(queue->fd(), POLLIN), "it is reported, too");
  Check(ComesTrue([&] { return !IsConnected(reset.pair.sender.get()); }),
        "and has no peer any more");
  reset.pair.sender.reset();
  sender.pair.sender.reset();
  Check(ComesTrue([&] {
          Take(queue);
          return !IsReadable(queue->fd());
        }),
        "closed sockets are not reported for ever");
}

}  // namespace

void TestAckQueue() {
  AckQueue queue;
  SegmentOptions options;
  options.size = 200 * 1024;
  auto segment = Segment::Create(options);
  if (!queue.Open()) return Skip("reports of acknowledgements", "this kernel has none");
  // As uv_poll_init() does. FreeBSD's kqueue(2) fails the call, and takes the flag.
  int on = 1;
  bool set = ioctl(queue.fd(), FIONBIO, &on) == 0;
  Check(set || (errno == ENOTTY && (fcntl(queue.fd(), F_GETFL) & O_NONBLOCK) != 0),
        "libuv can poll the queue", strerror(errno));
  TestOne(&queue, *segment.value);
  TestMany(&queue);
  TestTwoSends(&queue);
  TestEnds(&queue);
}

}  // namespace rss_test
