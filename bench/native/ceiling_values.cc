// An upper bound in C for large values: an epoll loop with writev(2) from the heap, or sendfile(2)
// from a memfd.
//
//   ceiling_values [host=ADDRESS] port=N size=N [how=writev|sendfile] [cpu=0] [keys=16]
#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "loopback.h"
#include "program.h"

namespace {

using namespace bench;

struct Client {
  size_t requests = 0;  // received and not answered
  size_t sent = 0;      // bytes of the answer to the first of these
};

}  // namespace

int main(int count, char** words) {
  Arguments arguments(count, words);
  sockaddr_in address = ServerOf(&arguments);
  auto size = static_cast<size_t>(arguments.Number("size", 65536));
  auto keys = static_cast<size_t>(arguments.Number("keys", 16));
  bool by_sendfile = arguments.Text("how", "writev") == "sendfile";
  PinTo(static_cast<int>(arguments.Number("cpu", 0)));
  arguments.End();

  signal(SIGPIPE, SIG_IGN);
  std::vector<std::string> values;  // empty with sendfile(2)
  int memory = memfd_create("values", 0);
  for (size_t i = 0; i < keys; ++i) {
    std::string value(size, static_cast<char>('a' + i % 26));
    if (!by_sendfile)
      values.push_back(std::move(value));
    else if (write(memory, value.data(), size) != static_cast<ssize_t>(size))
      Fail("write");
  }
  int listener = Listen(address);
  int poll = epoll_create1(0);
  auto watch = [&](int fd, uint32_t what, int operation) {
    epoll_event event{};
    event.events = what;
    event.data.fd = fd;
    epoll_ctl(poll, operation, fd, &event);
  };
  watch(listener, EPOLLIN, EPOLL_CTL_ADD);
  std::map<int, Client> clients;
  size_t next = 0;
  epoll_event events[64];
  char input[4096];
  for (;;) {
    int ready = epoll_wait(poll, events, 64, -1);
    for (int e = 0; e < ready; ++e) {
      int fd = events[e].data.fd;
      if (fd == listener) {
        int accepted = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
        if (accepted < 0) continue;
        clients[accepted] = Client();
        watch(accepted, EPOLLIN, EPOLL_CTL_ADD);
        continue;
      }
      Client& client = clients[fd];
      // This also finds clients that have disconnected.
      if ((events[e].events & ~EPOLLOUT) != 0) {
        ssize_t got = recv(fd, input, sizeof input, 0);
        if (got <= 0) {
          close(fd);
          clients.erase(fd);
          continue;
        }
        client.requests += static_cast<size_t>(std::count(input, input + got, '\n'));
      }
      bool full = false;
      while (client.requests > 0) {
        size_t key = next % keys;
        ssize_t sent;
        if (by_sendfile) {
          auto at = static_cast<off_t>(key * size + client.sent);
          sent = sendfile(fd, memory, &at, size - client.sent);
        } else {
          iovec part{&values[key][client.sent], size - client.sent};
          sent = writev(fd, &part, 1);
        }
        if (sent > 0) client.sent += static_cast<size_t>(sent);
        full = client.sent < size;
        if (full) break;
        client.sent = 0;
        --client.requests;
        ++next;
      }
      watch(fd, full ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
    }
  }
}
