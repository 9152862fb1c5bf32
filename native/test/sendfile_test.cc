// sendfile(2) from shared memory: parts and headers, how its progress is seen, and what a late
// receiver gets when memory is used again at each stage. Files that are not in memory.
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "platform/posix/shm.h"
#include "platform/posix/stream.h"
#include "test/check.h"
#include "test/pair.h"

namespace rss_test {
namespace {

using namespace rss;

constexpr size_t kSize = 64 * 1024;

std::shared_ptr<Segment> Filled(char byte) {
  SegmentOptions options;
  options.size = kSize;
  auto segment = Segment::Create(options);
  if (segment.ok()) memset(segment.value->data(), byte, kSize);
  return segment.value;
}

FileRange Range(const Segment& segment, size_t offset, size_t length) {
  FileRange range;
  range.fd = segment.fd();
  range.offset = offset;
  range.length = length;
  return range;
}

void TestParts() {
  Pair pair = Connect(false);
  auto segment = Filled('s');
  if (!pair.sender || segment == nullptr) return Check(false, "a connection and a segment");
  iovec headers[2] = {{const_cast<char*>("he"), 2}, {const_cast<char*>("ad:"), 3}};
  ssize_t sent = SendFile(pair.sender.get(), headers, 2, Range(*segment, 10, 100));
  Check(sent == 105, "headers and a range leave together", std::to_string(sent));
  Check(ReadAll(pair.receiver.get(), 105) == "head:" + std::string(100, 's'),
        "and arrive in order");
  Check(SendFile(pair.sender.get(), nullptr, 0, Range(*segment, kSize, 1)) == -EIO,
        "a range behind the end is EIO, not an endless loop");

  size_t total = 0;
  for (int i = 0; i < 10000; ++i) {
    sent = SendFile(pair.sender.get(), nullptr, 0, Range(*segment, 0, kSize));
    if (sent < 0) break;
    total += static_cast<size_t>(sent);
  }
  Check(sent == -EAGAIN && total > 0, "a full socket takes no more", std::to_string(sent));
  Check(ReadAll(pair.receiver.get(), total) == std::string(total, 's'),
        "what was taken in parts arrives whole", std::to_string(total) + " bytes");
  Check(Await(pair.sender.get(), POLLOUT), "the socket is writable again");
  sent = SendFile(pair.sender.get(), nullptr, 0, Range(*segment, 0, 1000));
  Check(sent == 1000 && ReadAll(pair.receiver.get(), 1000).size() == 1000,
        "and takes a range whole");
  int low = 0;
  socklen_t length = sizeof low;
  getsockopt(pair.sender.get(), SOL_SOCKET, SO_SNDLOWAT, &low, &length);
  Check(low <= 2048, "its low-water mark is restored", std::to_string(low));

  pair.receiver.reset();
  ssize_t broken = 0;
  for (int i = 0; i < 200 && (broken >= 0 || broken == -EAGAIN); ++i) {
    broken = SendFile(pair.sender.get(), nullptr, 0, Range(*segment, 0, kSize));
    usleep(10000);  // until the reset has come
  }
  Check(broken == -EPIPE || broken == -ECONNRESET, "a peer that has gone is an error",
        std::to_string(broken));
  UniqueFd unconnected(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  broken = SendFile(unconnected.get(), nullptr, 0, Range(*segment, 0, kSize));
  Check(broken == -ENOTCONN || broken == -EPIPE, "so is a socket without one",
        std::to_string(broken));
}

void TestHoldBack() {
  Pair pair = Connect(false);
  if (!pair.sender) return Check(false, "a connection");
  iovec piece = {const_cast<char*>("held"), 4};
  HoldBack(pair.sender.get(), true);
  double begin = NowMs();
  ssize_t sent = SendStream(pair.sender.get(), &piece, 1);
  pollfd receiver = {pair.receiver.get(), POLLIN, 0};
  bool held = poll(&receiver, 1, 50) == 0;
  // Linux holds it for 200 ms at most.
  Check(sent == 4 && (held || NowMs() - begin > 150), "a small piece is held back");
  HoldBack(pair.sender.get(), false);
  Check(ReadAll(pair.receiver.get(), 4) == "held", "until it is let go");
}

enum class Reuse { kOverwrite, kRenew, kRetire };

// Sends, waits for the end, uses the memory again, and reads only then. Returns how many bytes are
// not those that were sent.
size_t WrongBytes(bool local, Reuse reuse, bool tell) {
  Pair pair = Connect(local);
  auto segment = Filled('A');
  if (!pair.sender || segment == nullptr) return kSize;
  const char* name = local ? "Unix" : "TCP";
  double begin = NowMs(), acknowledged = -1, empty = -1;
  size_t sent = 0;
  for (int i = 0; sent < kSize && i < 100; ++i) {
    ssize_t part = SendFile(pair.sender.get(), nullptr, 0, Range(*segment, sent, kSize - sent));
    if (part == -EAGAIN) break;  // the buffers are full
    if (part > 0) sent += static_cast<size_t>(part);
  }
  EmptyProbe probe;
  while (NowMs() - begin < 500 && (acknowledged < 0 || empty < 0)) {
    if (acknowledged < 0 && Unacknowledged(pair.sender.get()) == 0) acknowledged = NowMs() - begin;
    if (empty < 0 && probe.Ask(pair.sender.get())) empty = NowMs() - begin;
    usleep(200);
  }
  if (tell)
    printf(
        "        %s, %zu bytes, unread: none unacknowledged after %.1f ms, buffer empty after "
        "%.1f ms (-1: not within 500)\n",
        name, sent, acknowledged, empty);
  if (reuse == Reuse::kOverwrite) {
    memset(segment->data(), 'B', kSize);
  } else if (reuse == Reuse::kRenew) {
    if (!RenewPages(segment->fd(), 0, kSize).ok()) return kSize;
    memset(segment->data(), 'B', kSize);
  } else {
    segment.reset();
    auto other = Filled('B');  // most likely on the same pages, if those are free
  }
  std::string got = ReadAll(pair.receiver.get(), sent);
  size_t wrong = sent - got.size();
  for (char byte : got) wrong += byte != 'A';
  return wrong;
}

void TestReuse() {
  for (bool local : {false, true}) {
    std::string name = local ? "Unix: " : "TCP on loopback: ";
    size_t overwritten = WrongBytes(local, Reuse::kOverwrite, true);
    printf(
        "        %soverwritten at that time, a receiver that has not read sees %zu wrong bytes\n",
        name.c_str(), overwritten);
    Check(WrongBytes(local, Reuse::kRetire, false) == 0,
          name + "a segment that is given up whole is received as it was sent");
    if (CanRenewPages())
      Check(WrongBytes(local, Reuse::kRenew, false) == 0, name + "so are pages that are renewed");
    else
      Skip(name + "pages that are renewed", "this system cannot renew them");
  }
}

void TestRoutes() {
  const bool v6 = ProbeCapabilities().ipv6 == 0;
  for (const char* host : {"127.0.0.1", "::1", "::ffff:127.0.0.1"}) {
    auto address = ParseAddress(host, 1).value;
    if (!address.is_v4_mapped() && address.family() == AF_INET6 && !v6) {
      Skip(std::string("the route to ") + host, "no IPv6");
      continue;
    }
    std::string name = std::string("the route to ") + host;
    int here = 0;
    for (int i = 0; i < 20; ++i) here += RouteTo(address, -1) == Route::kHere;
    Check(here == 20, name + " stays on this host, however long the answer takes",
          std::to_string(here) + " of 20");
    Route route;
    while ((route = RouteTo(address, 0)) == Route::kPending) usleep(1000);
    Check(route == Route::kHere, name + " is found by looking again, without waiting");
  }
  const char* names[] = {"not known", "pending", "on this host", "by a virtual interface",
                         "by a physical device"};
  printf("        192.0.2.1 is reached: %s\n",
         names[static_cast<int>(RouteTo(ParseAddress("192.0.2.1", 1).value, -1))]);
}

// One probe for several sockets, repeatedly.
void TestEmptyProbe() {
  Pair full = Connect(false), idle = Connect(false);
  if (!full.sender || !idle.sender) return Check(false, "two connections");
  EmptyProbe probe;
  auto empty = [&](const Pair& pair) { return probe.Ask(pair.sender.get()); };
  Check(empty(full) && empty(idle), "two sockets are empty at first");
  size_t sent = Fill(full);
  bool apart = true;
  for (int i = 0; i < 3; ++i) apart = apart && !empty(full) && empty(idle);
  Check(apart, "one is full, and still the other is empty");
  auto rest = [&] { return static_cast<size_t>(Unacknowledged(full.sender.get())); };
  Check(rest() > 0, "not all that is unread has been acknowledged");
  size_t read = ReadAll(full.receiver.get(), sent / 2).size();
  Check(ComesTrue([&] { return rest() < sent; }), "some of it has",
        std::to_string(rest()) + " of " + std::to_string(sent));
  read += ReadAll(full.receiver.get(), sent - read).size();
  Check(read == sent, "all is read");
  Check(ComesTrue([&] { return empty(full); }), "then it is empty again");
  Check(empty(idle) && empty(full) && empty(idle), "and both are for as long as they are");
  Check(Unacknowledged(full.sender.get()) == 0, "nothing is left to be acknowledged");
}

void TestCounting() {
  Pair pair = Connect(false);
  if (!pair.sender) return Check(false, "a connection");
  iovec piece = {const_cast<char*>("count"), 5};
  Check(SendStream(pair.sender.get(), &piece, 1) == 5, "bytes to count");
  double begin = NowMs();
  while (Unacknowledged(pair.sender.get()) != 0 && NowMs() - begin < kPatienceMs) usleep(200);
  Check(Unacknowledged(pair.sender.get()) == 0, "what has been acknowledged is not counted");
  printf("        the connection is %s\n", IsPaced(pair.sender.get()) ? "paced" : "not paced");
}

// SF_SYNC on a thread, with a slow receiver.
void TestSync() {
  if (!HasSyncSend()) return Skip("SF_SYNC", "FreeBSD before 16 has it");
  Pair pair = Connect(false);
  auto segment = Filled('A');
  if (!pair.sender || segment == nullptr) return Check(false, "a connection and a segment");
  std::atomic<double> returned{-1};
  double begin = NowMs();
  std::thread sender([&] {
    FileRange range = Range(*segment, 0, kSize);
    range.sync = true;
    while (range.length > 0) {
      ssize_t sent = SendFile(pair.sender.get(), nullptr, 0, range);
      if (sent == -EAGAIN) {
        Await(pair.sender.get(), POLLOUT);
        continue;
      }
      if (sent < 0) return;
      range.offset += static_cast<size_t>(sent);
      range.length -= static_cast<size_t>(sent);
    }
    returned = NowMs() - begin;
    memset(segment->data(), 'B', kSize);
  });
  usleep(200000);
  double before = returned;
  std::string got = ReadAll(pair.receiver.get(), kSize);
  double read = NowMs() - begin;
  sender.join();
  printf("        SF_SYNC returned after %.1f ms, the receiver had read everything after %.1f ms\n",
         returned.load(), read);
  Check(got == std::string(kSize, 'A'), "SF_SYNC: overwriting after it changes nothing on its way");
  Check(before < 0 && returned >= 0, "SF_SYNC: it waits for the receiver");
}

// Makes the system forget the file's pages, if it can. Advice does that on Linux. On UFS, direct
// reads do: they release what they have read, and advice alone leaves pages to the buffer cache.
void Cool(int file, size_t size) {
  fsync(file);
  posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  alignas(4096) static char page[65536];
  int flags = fcntl(file, F_GETFL);
  if (fcntl(file, F_SETFL, flags | O_DIRECT) != 0) return;
  for (size_t at = 0; at < size; at += sizeof page)
    (void)!pread(file, page, sizeof page, static_cast<off_t>(at));
  fcntl(file, F_SETFL, flags);
}

// Pages of files that FreeBSD has read from disks, as it does not refuse those of UFS: sendfile(2)
// reads them without waiting.
double PagesRead() {
  auto values = ReadSystemValues("vm.stats.vm.v_vnodepgsin");
  return values.ok() && !values.value.empty() ? strtod(values.value[0].text.c_str(), nullptr) : 0;
}

// Sends a cold file without waiting for the disk, and reads it into memory where that is refused.
void TestColdFile() {
  constexpr size_t kFileSize = 4 * 1024 * 1024 + 100;
  std::string content(kFileSize, '\0');
  for (size_t i = 0; i < kFileSize; ++i) content[i] = static_cast<char>(i * 31 + i / 4096);
  char path[] = "/tmp/rss-selftest-XXXXXX";
  UniqueFd file(mkstemp(path));
  unlink(path);
  Pair pair = Connect(false);
  if (!file || !pair.sender ||
      write(file.get(), content.data(), kFileSize) != static_cast<ssize_t>(kFileSize))
    return Check(false, "a file and a connection");
  Cool(file.get(), kFileSize);
  FileRange range;
  range.fd = file.get();
  range.no_disk_io = true;
  bool avoids = CanAvoidDiskIo(range.fd);
  printf("        sends from this file system can%s avoid waiting for the disk\n",
         avoids ? "" : "not");
  std::string got;
  double before = PagesRead();
  int refused = 0, failed = 0;
  for (int idle = 0; range.offset < kFileSize && failed == 0 && idle < 1000;) {
    range.length = kFileSize - range.offset;
    ssize_t sent = SendFile(pair.sender.get(), nullptr, 0, range);
    if (sent == -EBUSY) {
      ++refused;
      range.length = std::min<size_t>(range.length, 1024 * 1024);
      failed = ReadIntoMemory(range);
    } else if (sent == -EAGAIN) {
      ++idle;
      Await(pair.sender.get(), POLLOUT);
    } else if (sent < 0) {
      failed = static_cast<int>(sent);
    } else {
      range.offset += static_cast<size_t>(sent);
    }
    if (sent > 0) idle = 0;
    got += ReadAll(pair.receiver.get(), static_cast<size_t>(range.offset) - got.size());
  }
  double read = PagesRead() - before;
  bool cold = refused > 0 || read >= kFileSize / 4096 / 2;  // the program's own pages count, too
  printf("        refused %d times, %.0f pages read by sendfile(2)\n", refused, read);
  if (!cold) Skip("a cold file", "this file system keeps its pages in memory");
  Check(failed == 0 && got == content,
        (cold ? "a cold file" : "a file") +
            std::string(" is sent whole without waiting for the disk"),
        std::to_string(got.size()) + " bytes");
  range.offset = 0;
  range.length = 1000;
  Check(SendFile(pair.sender.get(), nullptr, 0, range) == 1000, "and is then in memory");
  range.offset = kFileSize;
  ssize_t behind = SendFile(pair.sender.get(), nullptr, 0, range);
  Check(behind == -EIO, "a range behind the end is EIO", std::to_string(behind));
  Check(ReadIntoMemory(range) == 0, "and reads nothing into memory");
}

}  // namespace

void TestSendFile() {
  TestParts();
  TestHoldBack();
  TestReuse();
  TestRoutes();
  TestEmptyProbe();
  TestCounting();
  TestColdFile();
  TestSync();
}

}  // namespace rss_test
