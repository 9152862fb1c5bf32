// Load by connections: each connects, sends one get, reads the answer and resets. `flight` at a
// time.
//
//   load_accept [host=ADDRESS] port=N pid=N [flight=16] [cpu=1]
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "keys.h"
#include "loopback.h"
#include "program.h"
#include "slices.h"

namespace {

using namespace bench;

struct Attempt {
  int fd = -1;
  bool connected = false;
  size_t got = 0;
  double began = 0;
};

}  // namespace

int main(int count, char** words) {
  Arguments arguments(count, words);
  sockaddr_in address = ServerOf(&arguments);
  int pid = static_cast<int>(arguments.Number("pid", 0));
  auto flight = static_cast<size_t>(arguments.Number("flight", 16));
  PinTo(static_cast<int>(arguments.Number("cpu", 1)));
  arguments.End();

  const std::string request = "get " + KeyOf(1) + "\r\n", answer = ItemOf(1) + "END\r\n";
  int poll = epoll_create1(0);
  std::vector<Attempt> attempts(flight);
  Slices slices(pid);
  uint64_t operations = 0;
  auto begin = [&](size_t i) {
    Attempt& attempt = attempts[i];
    attempt = Attempt();
    attempt.began = Now();
    attempt.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    linger reset{1, 0};  // with TIME_WAIT, ports would run out
    setsockopt(attempt.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    if (connect(attempt.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 &&
        errno != EINPROGRESS)
      Fail("connect");
    epoll_event event{};
    event.events = EPOLLIN | EPOLLOUT | EPOLLET;
    event.data.u64 = i;
    epoll_ctl(poll, EPOLL_CTL_ADD, attempt.fd, &event);
  };
  epoll_event events[64];
  char buffer[1024];
  while (slices.Next()) {
    for (size_t i = 0; i < flight; ++i) begin(i);
    size_t outstanding = flight;
    for (;;) {
      bool asking = slices.Asking(Now(), operations);
      if (!asking && outstanding == 0) break;
      int ready = epoll_wait(poll, events, 64, 100);
      for (int e = 0; e < ready; ++e) {
        Attempt& attempt = attempts[events[e].data.u64];
        if (!attempt.connected && (events[e].events & EPOLLOUT) != 0) {
          attempt.connected = true;
          if (send(attempt.fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) Fail("send");
        }
        ssize_t received = recv(attempt.fd, buffer, sizeof buffer, MSG_DONTWAIT);
        if (received < 0 && errno == EAGAIN) continue;
        if (received <= 0) Fail("the server has closed a connection");
        size_t left = answer.size() - attempt.got, length = static_cast<size_t>(received);
        if (length > left || memcmp(answer.data() + attempt.got, buffer, length) != 0) ++slices.bad;
        attempt.got += length;
        if (attempt.got < answer.size()) continue;
        slices.latencies.Add(Now() - attempt.began);
        ++operations;
        close(attempt.fd);
        if (asking)
          begin(events[e].data.u64);
        else
          --outstanding;
      }
    }
    slices.Print();
  }
  return 0;
}
