// Connections whose server waits for acknowledgements. Their receive buffers are smaller than an
// answer, so the last of it is acknowledged only once the client reads.
//
//   hold_acks [host=127.0.0.1] port=N connections=N length=N [cpu=1]
//
// Prints "open" once all are connected, then executes lines, and prints "done" after each:
//
//   ask                    sends a number (four bytes, little-endian) on each connection
//   read FROM COUNT PAUSE  reads the answers of so many, with microseconds between two
//   times                  prints when each was read: nanoseconds of CLOCK_MONOTONIC
#include <netinet/tcp.h>
#include <time.h>

#include <iostream>

#include "loopback.h"

namespace {

constexpr int kBuffer = 4096;

int Open(const sockaddr_in& server) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), buffer = kBuffer, segment = 1000;
  if (fd < 0) bench::Fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&server), sizeof server) != 0)
    bench::Fail("connect");
  return fd;
}

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int64_t Read(int fd, size_t length) {
  char bytes[65536];
  int on = 1;
  for (size_t got = 0; got < length;) {
    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    ssize_t n = recv(fd, bytes, std::min(sizeof bytes, length - got), 0);
    if (n <= 0) bench::Fail("recv");
    got += static_cast<size_t>(n);
  }
  return Now();
}

}  // namespace

int main(int count, char** words) {
  bench::Arguments arguments(count, words);
  sockaddr_in server = bench::ServerOf(&arguments);
  auto connections = static_cast<size_t>(arguments.Number("connections", 1000));
  auto length = static_cast<size_t>(arguments.Number("length", 8192));
  bench::PinTo(static_cast<int>(arguments.Number("cpu", 1)));
  arguments.End();
  std::vector<int> fds;
  for (size_t i = 0; i < connections; ++i) fds.push_back(Open(server));
  std::vector<int64_t> times(fds.size());
  std::cout << "open" << std::endl;
  for (std::string command; std::cin >> command;) {
    if (command == "ask") {
      for (uint32_t i = 0; i < fds.size(); ++i)
        bench::SendAll(fds[i], {reinterpret_cast<const char*>(&i), sizeof i});
    } else if (command == "read") {
      size_t from = 0, number = 0;
      int64_t pause = 0;
      std::cin >> from >> number >> pause;
      int64_t due = Now();
      for (size_t i = from; i < from + number && i < fds.size(); ++i, due += pause * 1000) {
        while (Now() < due) usleep(10);
        times[i] = Read(fds[i], length);
      }
    } else if (command == "times") {
      for (int64_t time : times) std::cout << time << '\n';
    }
    std::cout << "done" << std::endl;
  }
}
