// An upper bound in C: get, set and multiget from an epoll loop and a hash table, with one recv(2)
// and one send(2) per readable connection. Without expiry, eviction and limits it is no server.
//
//   ceiling_memcached port=N [cpu=0]
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <memory>

#include "loopback.h"
#include "program.h"

namespace {

using namespace bench;

struct Item {
  uint32_t hash;
  std::string key;
  std::string answer;  // "VALUE <key> 0 <length>\r\n<value>\r\n"
};

class Table {
 public:
  Item* Find(const char* key, size_t length) {
    uint32_t hash = Hash(key, length);
    for (uint32_t i = hash & kMask;; i = (i + 1) & kMask) {
      Item* item = items_[i].get();
      if (item == nullptr) return nullptr;
      if (item->hash == hash && item->key.size() == length &&
          memcmp(item->key.data(), key, length) == 0)
        return item;
    }
  }
  void Set(const char* key, size_t length, const char* value, size_t size) {
    Item* item = Find(key, length);
    if (item == nullptr) {
      uint32_t hash = Hash(key, length), i = hash & kMask;
      while (items_[i] != nullptr) i = (i + 1) & kMask;
      items_[i].reset(new Item{hash, std::string(key, length), {}});
      item = items_[i].get();
    }
    item->answer = "VALUE " + item->key + " 0 " + std::to_string(size) + "\r\n";
    item->answer.append(value, size);
    item->answer += "\r\n";
  }

 private:
  static constexpr uint32_t kMask = (1 << 16) - 1;
  static uint32_t Hash(const char* key, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; ++i) hash = (hash ^ static_cast<uint8_t>(key[i])) * 16777619u;
    return hash;
  }
  std::vector<std::unique_ptr<Item>> items_ = std::vector<std::unique_ptr<Item>>(kMask + 1);
};

Table table;
char input[256 * 1024], output[1 << 20];

// Answers the complete requests of [at, end). Returns where the first incomplete one begins.
const char* Serve(const char* at, const char* end, char** out) {
  char* to = *out;
  while (at < end) {
    auto* newline = static_cast<const char*>(memchr(at, '\n', static_cast<size_t>(end - at)));
    if (newline == nullptr) break;
    const char* stop = newline - 1;
    if (memcmp(at, "get ", 4) == 0) {
      for (const char* key = at + 4; key < stop;) {
        const char* space = key;
        while (space < stop && *space != ' ') ++space;
        Item* item = table.Find(key, static_cast<size_t>(space - key));
        if (item != nullptr) {
          memcpy(to, item->answer.data(), item->answer.size());
          to += item->answer.size();
        }
        key = space + 1;
      }
      memcpy(to, "END\r\n", 5);
      to += 5;
      at = newline + 1;
    } else if (memcmp(at, "set ", 4) == 0) {
      const char* key = at + 4;
      auto* space = static_cast<const char*>(memchr(key, ' ', static_cast<size_t>(stop - key)));
      if (space == nullptr) break;
      unsigned flags, expires;
      size_t size;
      if (sscanf(space, " %u %u %zu", &flags, &expires, &size) != 3) exit(1);
      if (static_cast<size_t>(end - newline - 1) < size + 2) break;
      table.Set(key, static_cast<size_t>(space - key), newline + 1, size);
      memcpy(to, "STORED\r\n", 8);
      to += 8;
      at = newline + 1 + size + 2;
    } else {
      memcpy(to, "ERROR\r\n", 7);
      to += 7;
      at = newline + 1;
    }
  }
  *out = to;
  return at;
}

}  // namespace

int main(int count, char** words) {
  Arguments arguments(count, words);
  auto port = static_cast<uint16_t>(arguments.Number("port", 11211));
  PinTo(static_cast<int>(arguments.Number("cpu", 0)));
  arguments.End();
  int listener = Listen(Loopback(port));
  int poll = epoll_create1(0);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = listener;
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  std::vector<std::string> rest(65536);  // incomplete requests, by descriptor
  for (;;) {
    constexpr int kEvents = 256;
    epoll_event events[kEvents];
    int ready = epoll_wait(poll, events, kEvents, -1);
    for (int i = 0; i < ready; ++i) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        for (int accepted; (accepted = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
          epoll_event interest{};
          interest.events = EPOLLIN;
          interest.data.fd = accepted;
          epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &interest);
        }
        continue;
      }
      std::string& kept = rest[static_cast<size_t>(fd)];
      memcpy(input, kept.data(), kept.size());
      ssize_t received = recv(fd, input + kept.size(), sizeof input - kept.size(), 0);
      if (received < 0 && errno == EAGAIN) continue;
      if (received <= 0) {
        close(fd);
        kept.clear();
        continue;
      }
      const char* end = input + kept.size() + received;
      char* out = output;
      const char* at = Serve(input, end, &out);
      kept.assign(at, static_cast<size_t>(end - at));
      if (out > output && send(fd, output, static_cast<size_t>(out - output), MSG_NOSIGNAL) < 0)
        close(fd);
    }
  }
}
