// Load by large values: each connection requests one after the other, `depth` requests ahead, and
// reads the answers or lets the kernel discard them.
//
//   load_values [host=ADDRESS] port=N pid=N size=N work=raw|get [connections=64] [depth=2] [copy=0]
//               [keys=16] [cpu=1] [server-cpu=N]
//   load_values [host=ADDRESS] port=N size=N work=set [keys=16]: stores the values and ends
//
// server-cpu is the number of a CPU that works for the server alone.
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "keys.h"
#include "loopback.h"
#include "program.h"
#include "slices.h"

namespace {

using namespace bench;

constexpr double kPatience = 20;  // seconds without any answer

struct Client {
  int fd = -1;
  size_t left = 0;  // bytes of the answer that is being read
  double asked = 0;
};

std::string ReadExactly(int fd, size_t size) {
  std::string out(size, '\0');
  for (size_t got = 0; got < size;) {
    ssize_t n = recv(fd, &out[got], size - got, 0);
    if (n <= 0) Fail("recv");
    got += static_cast<size_t>(n);
  }
  return out;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments(count, words);
  sockaddr_in server = ServerOf(&arguments);
  int pid = static_cast<int>(arguments.Number("pid", 0));
  auto size = static_cast<size_t>(arguments.Number("size", 65536));
  std::string work = arguments.Text("work", "raw");
  auto connections = static_cast<size_t>(arguments.Number("connections", 64));
  auto depth = static_cast<size_t>(arguments.Number("depth", 2));
  bool copy = arguments.Number("copy", 0) != 0;
  auto keys = static_cast<unsigned>(arguments.Number("keys", 16));
  int server_cpu = static_cast<int>(arguments.Number("server-cpu", -1));
  PinTo(static_cast<int>(arguments.Number("cpu", 1)));
  arguments.End();

  std::string head = " 0 " + std::to_string(size) + "\r\n";
  if (work == "set") {
    int fd = Connect(server);
    for (unsigned n = 0; n < keys; ++n) {
      std::string length = " 0 0 " + std::to_string(size) + "\r\n";
      SendAll(fd,
              "set " + KeyOf(n) + length + std::string(size, static_cast<char>('a' + n)) + "\r\n");
      if (ReadExactly(fd, 8) != "STORED\r\n") Fail("a value is not stored");
    }
    close(fd);
    return 0;
  }
  size_t answer = work == "raw" ? size : 6 + KeyOf(0).size() + head.size() + size + 7;
  Random random;
  auto ask = [&](Client& client) {
    std::string request = "get " + KeyOf(random.Next() % keys) + "\r\n";
    SendAll(client.fd, request);
  };
  int poll = epoll_create1(0);
  std::vector<Client> clients(connections);
  for (size_t i = 0; i < connections; ++i) {
    Client& client = clients[i];
    client.fd = Connect(server);
    client.left = answer;
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(poll, EPOLL_CTL_ADD, client.fd, &event);
  }
  std::vector<char> buffer(256 * 1024);
  Slices slices(pid, server_cpu);
  uint64_t operations = 0;
  epoll_event events[64];
  while (slices.Next()) {
    for (Client& client : clients) {
      for (size_t d = 0; d < depth; ++d) ask(client);
      client.asked = Now();
    }
    size_t outstanding = connections * depth;
    double last = Now();
    for (;;) {
      bool asking = slices.Asking(Now(), operations);
      if (!asking && outstanding == 0) break;
      int ready = epoll_wait(poll, events, 64, 100);
      if (ready > 0) last = Now();
      if (Now() - last > kPatience) Fail("answers are missing");
      for (int e = 0; e < ready; ++e) {
        Client& client = clients[events[e].data.u64];
        size_t most = std::min(buffer.size(), client.left);
        ssize_t got = recv(client.fd, buffer.data(), most, MSG_DONTWAIT | (copy ? 0 : MSG_TRUNC));
        if (got < 0 && errno == EAGAIN) continue;
        if (got <= 0) Fail("the server has closed a connection");
        client.left -= static_cast<size_t>(got);
        if (client.left > 0) continue;
        double now = Now();
        slices.latencies.Add(now - client.asked);
        ++operations;
        --outstanding;
        client.left = answer;
        client.asked = now;
        if (!asking) continue;
        ask(client);
        ++outstanding;
      }
    }
    slices.Print();
  }
  return 0;
}
