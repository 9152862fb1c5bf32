// Load on a memcached server: TCP connections, each with `depth` pipelined requests in flight.
// Every answer is compared with the expected bytes. The answer to an echo is the request. The
// answers of an HTTP server are compared with its first one.
//
//   load_memcached [host=ADDRESS] port=N pid=N
//                  work=get|multiget|set|mixed|touch|incr|cas|delete|echo|http
//                  [connections=50] [depth=1] [keys=16] [key=any|same|own] [cpu=1] [spin=1]
//   load_memcached [host=ADDRESS] port=N work=fill|fill-numbers: stores the data set, and ends
//
// key=same: all requests are for one key, which is that of all clients. key=own: it is the client's
// own.
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "keys.h"
#include "loopback.h"
#include "program.h"
#include "slices.h"

namespace {

using namespace bench;

std::string Set(unsigned n) {
  return "set " + KeyOf(n) + " 0 0 32\r\n" + ValueOf(n) + "\r\n";
}

std::string SetNumber(unsigned n) {
  return "set " + KeyOf(n) + " 0 0 10\r\n1000000000\r\n";
}

constexpr std::string_view kHttpRequest = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

// The answer of an HTTP server, whose length is in its head.
std::string FirstAnswer(const sockaddr_in& server, std::string_view request) {
  int fd = Connect(server);
  SendAll(fd, request);
  std::string answer;
  char buffer[4096];
  for (size_t length = SIZE_MAX; answer.size() < length;) {
    ssize_t r = recv(fd, buffer, sizeof buffer, 0);
    if (r <= 0) Fail("first answer");
    answer.append(buffer, static_cast<size_t>(r));
    size_t head = answer.find("\r\n\r\n"), field = answer.find("Content-Length: ");
    if (head == std::string::npos) continue;
    if (field > head) Fail("no Content-Length");
    length = head + 4 + strtoul(answer.c_str() + field + 16, nullptr, 10);
  }
  close(fd);
  return answer;
}

// The requests of a work besides gets, which are equally long for all keys, and their answer.
struct Change {
  std::string (*request)(unsigned n);
  std::string_view answer;
};

Change ChangeOf(const std::string& work) {
  if (work == "touch")
    return {[](unsigned n) { return "touch " + KeyOf(n) + " 0\r\n"; }, "TOUCHED\r\n"};
  // Increments by 0, so that the answer is known.
  if (work == "incr")
    return {[](unsigned n) { return "incr " + KeyOf(n) + " 0\r\n"; }, "1000000000\r\n"};
  // The CAS number is one that no item has: the item is found and compared, not stored.
  if (work == "cas")
    return {[](unsigned n) {
              return "cas " + KeyOf(n) + " 0 0 32 999999999999\r\n" + ValueOf(n) + "\r\n";
            },
            "EXISTS\r\n"};
  // Deletes an item that has just been stored.
  if (work == "delete")
    return {[](unsigned n) {
              return "set " + KeyOf(n) + " 0 0 32 noreply\r\n" + ValueOf(n) + "\r\ndelete " +
                     KeyOf(n) + "\r\n";
            },
            "DELETED\r\n"};
  return {Set, "STORED\r\n"};
}

void Fill(const sockaddr_in& server, std::string (*set)(unsigned)) {
  int fd = Connect(server);
  char buffer[65536];
  constexpr unsigned kBatch = 100;
  for (unsigned n = 0; n < kKeys; n += kBatch) {
    std::string requests;
    for (unsigned i = 0; i < kBatch; ++i) requests += set(n + i);
    SendAll(fd, requests);
    for (size_t got = 0; got < kBatch * strlen("STORED\r\n");) {
      ssize_t r = recv(fd, buffer, sizeof buffer, 0);
      if (r <= 0) Fail("fill");
      got += static_cast<size_t>(r);
    }
  }
  close(fd);
}

// Requests and answers are prepared, so that the client itself does little. A single get or set is
// not even copied.
class Requests {
 public:
  // The keys are `range` ones from number `first` on.
  Requests(const std::string& work, unsigned depth, unsigned keys, unsigned first, unsigned range)
      : multi_(work == "multiget"),
        echo_(work == "echo"),
        change_(ChangeOf(work)),
        change_percent_(work == "mixed"                    ? 10
                        : work == "get" || echo_ || multi_ ? 0
                                                           : 100),
        depth_(depth),
        keys_(keys),
        first_(first),
        range_(range) {
    for (unsigned n = 0; n < kKeys; ++n) {
      gets_ += "get " + KeyOf(n) + "\r\n";
      changes_ += change_.request(n);
      items_.append(ItemOf(n)).append(kEnd);
    }
  }
  // The same request always, with the same answer.
  void Fix(std::string_view request, std::string answer) {
    fixed_request_ = request;
    fixed_answer_ = std::move(answer);
  }
  unsigned operations() const { return multi_ ? 1 : depth_; }

  // Returns the next request, valid until the next call, and sets the answer that is expected.
  std::string_view Next(std::string* own, std::string_view* expected) {
    if (!fixed_request_.empty()) {
      *expected = fixed_answer_;
      return fixed_request_;
    }
    request_.clear();
    own->clear();
    if (multi_) {
      request_ += "get";
      for (unsigned i = 0; i < keys_; ++i) {
        unsigned n = NextKey();
        request_ += Part(gets_, n).substr(3, 10);
        own->append(Part(items_, n).substr(0, Part(items_, n).size() - kEnd.size()));
      }
      request_ += "\r\n";
      own->append(kEnd);
    } else if (depth_ == 1) {
      unsigned n = NextKey();
      bool change = IsChange();
      *expected = change ? change_.answer : Part(echo_ ? gets_ : items_, n);
      return Part(change ? changes_ : gets_, n);
    }
    for (unsigned i = 0; i < depth_ && !multi_; ++i) {
      unsigned n = NextKey();
      bool change = IsChange();
      request_ += Part(change ? changes_ : gets_, n);
      own->append(change ? change_.answer : Part(echo_ ? gets_ : items_, n));
    }
    *expected = *own;
    return request_;
  }

 private:
  static constexpr std::string_view kEnd = "END\r\n";

  // The n-th of kKeys equally long pieces.
  static std::string_view Part(const std::string& all, unsigned n) {
    size_t length = all.size() / kKeys;
    return std::string_view(all).substr(n * length, length);
  }
  unsigned NextKey() { return first_ + random_.Next() % range_; }
  bool IsChange() { return change_percent_ > 0 && random_.Next() % 100 < change_percent_; }

  bool multi_, echo_;
  Change change_;
  unsigned change_percent_, depth_, keys_, first_, range_;
  std::string gets_, changes_, items_, request_;
  std::string_view fixed_request_;
  std::string fixed_answer_;
  Random random_;
};

struct Client {
  int fd = -1;
  std::string own;            // backs `expected` where the answer is not prepared
  std::string_view expected;  // rest of the answer
  double asked = 0;
  size_t previous = 0, next = 0;  // neighbours in the order of requests
};

// The connections, in the order of their requests. A server answers roughly in that order, so only
// the oldest few are polled. poll(2) without waiting takes no lock of the socket and leaves nothing
// on it to wake, so it costs the server less than epoll(7).
class Load {
 public:
  Load(Requests* requests, Slices* slices, const sockaddr_in& server, size_t connections, bool spin)
      : requests_(requests),
        slices_(slices),
        clients_(connections + 1),
        epoll_(spin ? -1 : epoll_create1(0)) {
    for (size_t i = 1; i <= connections; ++i) {
      clients_[i].fd = Connect(server);
      if (spin) continue;
      epoll_event event{};
      event.events = EPOLLIN | EPOLLET;
      event.data.u64 = i;
      if (epoll_ctl(epoll_, EPOLL_CTL_ADD, clients_[i].fd, &event) != 0) Fail("epoll_ctl");
    }
  }

  void RunSlice() {
    double now = Now();
    for (size_t i = 1; i < clients_.size(); ++i) Ask(i, now);
    epoll_ < 0 ? Spin() : Wait();
  }

 private:
  static constexpr size_t kHead = 0;  // head of the list
  static constexpr size_t kOldest = 16;

  // False once the slice is over and every request has been answered.
  bool Continue(double now) {
    asking_ = slices_->Asking(now, operations_);
    return asking_ || clients_[kHead].next != kHead;
  }

  void Spin() {
    pollfd oldest[kOldest];
    for (double now; Continue(now = Now());) {
      if (Receive(clients_[kHead].next)) continue;
      nfds_t count = 0;
      size_t index[kOldest];
      for (size_t i = clients_[kHead].next; i != kHead && count < kOldest; i = clients_[i].next) {
        index[count] = i;
        oldest[count++] = {clients_[i].fd, POLLIN, 0};
      }
      if (poll(oldest, count, 0) <= 0) {
        slices_->idle += Now() - now;
        continue;
      }
      for (nfds_t i = 0; i < count; ++i)
        if (oldest[i].revents != 0) Receive(index[i]);
    }
  }

  // For a client that shares its CPU with a server.
  void Wait() {
    constexpr int kEvents = 64;
    epoll_event events[kEvents];
    while (Continue(Now())) {
      int ready = epoll_wait(epoll_, events, kEvents, 100);
      for (int i = 0; i < ready; ++i) Receive(events[i].data.u64);
    }
  }

  void Ask(size_t i, double now) {
    Client& client = clients_[i];
    std::string_view request = requests_->Next(&client.own, &client.expected);
    client.asked = now;
    client.previous = clients_[kHead].previous;
    client.next = kHead;
    clients_[client.previous].next = i;
    clients_[kHead].previous = i;
    SendAll(client.fd, request);
  }

  // False when nothing has arrived.
  bool Receive(size_t i) {
    static char buffer[256 * 1024];
    Client& client = clients_[i];
    ssize_t received = recv(client.fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (received < 0 && errno == EAGAIN) return false;
    if (received <= 0) Fail("the server has closed a connection");
    std::string_view got(buffer, static_cast<size_t>(received));
    if (client.expected.substr(0, got.size()) != got) ++slices_->bad;
    client.expected.remove_prefix(std::min(got.size(), client.expected.size()));
    if (!client.expected.empty()) return true;
    double now = Now();
    slices_->latencies.Add(now - client.asked);
    operations_ += requests_->operations();
    clients_[client.previous].next = client.next;
    clients_[client.next].previous = client.previous;
    if (asking_) Ask(i, now);
    return true;
  }

  Requests* requests_;
  Slices* slices_;
  std::vector<Client> clients_;
  int epoll_;  // -1 if the client spins
  bool asking_ = false;
  uint64_t operations_ = 0;
};

}  // namespace

int main(int count, char** words) {
  Arguments arguments(count, words);
  sockaddr_in server = ServerOf(&arguments);
  int pid = static_cast<int>(arguments.Number("pid", 0));
  std::string work = arguments.Text("work", "get");
  auto connections = static_cast<size_t>(arguments.Number("connections", 50));
  auto depth = static_cast<unsigned>(arguments.Number("depth", 1));
  auto keys = static_cast<unsigned>(arguments.Number("keys", 16));
  bool spin = arguments.Number("spin", 1) != 0;
  std::string key = arguments.Text("key", "any");
  auto cpu = static_cast<unsigned>(arguments.Number("cpu", 1));
  PinTo(static_cast<int>(cpu));
  arguments.End();

  if (work == "fill" || work == "fill-numbers") {
    Fill(server, work == "fill" ? Set : SetNumber);
    return 0;
  }
  Requests requests(work, depth, keys, key == "own" ? cpu % kKeys : 0, key == "any" ? kKeys : 1);
  if (work == "http") requests.Fix(kHttpRequest, FirstAnswer(server, kHttpRequest));
  Slices slices(pid);
  Load load(&requests, &slices, server, connections, spin);
  while (slices.Next()) {
    load.RunSlice();
    slices.Print();
  }
  return 0;
}
