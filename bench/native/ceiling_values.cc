// An upper bound in C for large values: an epoll loop with writev(2) from the heap, or sendfile(2)
// from a memfd. With work=get an answer is memcached's: a head, the value and an end. Around
// sendfile(2), these are held back by TCP_CORK, in five system calls; with how=sendfile-3 the
// value's last bytes are copied and sent with the end, in three.
//
//   ceiling_values [host=ADDRESS] port=N size=N [work=raw|get] [how=writev|sendfile|sendfile-3]
//                  [cpu=0] [keys=16]
#include <errno.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <deque>

#include "keys.h"
#include "loopback.h"
#include "program.h"

namespace {

using namespace bench;

struct Client {
  std::string line;           // of a request whose end has not come
  std::deque<unsigned> keys;  // received and not answered
  size_t sent = 0;            // bytes of the answer to the first of these
};

// The parts of an answer. Head and end are empty for work=raw.
struct Part {
  const char* bytes;
  size_t size;
};

struct Values {
  size_t size = 0;
  std::vector<std::string> heap;  // empty with sendfile(2)
  int memory = -1;
  const char* mapped = nullptr;
  bool cork = false;
  size_t copied = 0;  // of the value, behind what sendfile(2) sends
};

// That of a key as KeyOf() makes it.
unsigned NumberIn(const std::string& line) {
  size_t colon = line.find(':');
  return colon == std::string::npos ? 0 : static_cast<unsigned>(atoi(&line[colon + 1]));
}

void Cork(int fd, int on) {
  setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof on);
}

// What is left of a part behind `skip` bytes, and how much of `skip` lies behind the part.
Part After(Part part, size_t* skip) {
  size_t here = std::min(*skip, part.size);
  *skip -= here;
  return {part.bytes + here, part.size - here};
}

ssize_t Write(int fd, const Values& values, unsigned key, Part head, Part end, size_t skip) {
  Part parts[] = {head, {values.heap[key].data(), values.size}, end};
  iovec pieces[3];
  for (int i = 0; i < 3; ++i) {
    Part rest = After(parts[i], &skip);
    pieces[i] = {const_cast<char*>(rest.bytes), rest.size};
  }
  return writev(fd, pieces, 3);
}

ssize_t SendFile(int fd, const Values& values, unsigned key, Part head, Part end, size_t skip) {
  ssize_t all = 0;
  if (Part rest = After(head, &skip); rest.size > 0) {
    all = send(fd, rest.bytes, rest.size, MSG_MORE);
    if (all < static_cast<ssize_t>(rest.size)) return all;
  }
  size_t size = values.size - values.copied;
  size_t begun = std::min(skip, size);
  skip -= begun;
  if (begun < size) {
    auto at = static_cast<off_t>(key * values.size + begun);
    ssize_t sent = sendfile(fd, values.memory, &at, size - begun);
    if (sent < 0) return all > 0 ? all : sent;
    all += sent;
    if (static_cast<size_t>(sent) < size - begun) return all;
  }
  char last[1024];
  memcpy(last, values.mapped + key * values.size + size, values.copied);
  memcpy(last + values.copied, end.bytes, end.size);
  if (Part rest = After({last, values.copied + end.size}, &skip); rest.size > 0) {
    ssize_t sent = send(fd, rest.bytes, rest.size, 0);
    if (sent < 0) return all > 0 ? all : sent;
    all += sent;
  }
  return all;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments(count, words);
  sockaddr_in address = ServerOf(&arguments);
  Values values;
  values.size = static_cast<size_t>(arguments.Number("size", 65536));
  auto keys = static_cast<unsigned>(arguments.Number("keys", 16));
  bool get = arguments.Text("work", "raw") == "get";
  std::string how = arguments.Text("how", "writev");
  bool by_writev = how == "writev";
  values.cork = get && how == "sendfile";
  values.copied = how == "sendfile-3" ? 512 : 0;
  PinTo(static_cast<int>(arguments.Number("cpu", 0)));
  arguments.End();

  signal(SIGPIPE, SIG_IGN);
  values.memory = memfd_create("values", 0);
  for (unsigned i = 0; i < keys; ++i) {
    std::string value(values.size, static_cast<char>('a' + i % 26));
    if (by_writev)
      values.heap.push_back(std::move(value));
    else if (write(values.memory, value.data(), values.size) != static_cast<ssize_t>(values.size))
      Fail("write");
  }
  void* mapped = mmap(nullptr, size_t{keys} * values.size, PROT_READ, MAP_SHARED, values.memory, 0);
  values.mapped = static_cast<const char*>(mapped);
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
  const std::string tail = " 0 " + std::to_string(values.size) + "\r\n";
  const Part end = {"\r\nEND\r\n", get ? size_t{7} : 0};
  unsigned next = 0;
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
        for (ssize_t i = 0; i < got; ++i) {
          client.line += input[i];
          if (input[i] != '\n') continue;
          client.keys.push_back((get ? NumberIn(client.line) : next++) % keys);
          client.line.clear();
        }
      }
      bool full = false;
      while (!client.keys.empty()) {
        unsigned key = client.keys.front();
        std::string text = get ? "VALUE " + KeyOf(key) + tail : "";
        Part head = {text.data(), text.size()};
        if (values.cork) Cork(fd, 1);
        ssize_t sent = by_writev ? Write(fd, values, key, head, end, client.sent)
                                 : SendFile(fd, values, key, head, end, client.sent);
        if (values.cork) Cork(fd, 0);
        if (sent > 0) client.sent += static_cast<size_t>(sent);
        full = client.sent < head.size + values.size + end.size;
        if (full) break;
        client.sent = 0;
        client.keys.pop_front();
      }
      watch(fd, full ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
    }
  }
}
