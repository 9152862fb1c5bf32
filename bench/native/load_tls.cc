// Load on a memcached server with TLS: gets on connections that each have one in flight. Every
// answer is compared with the expected bytes.
//
//   load_tls [host=ADDRESS] port=N pid=N [connections=50] [cpu=1]
//   load_tls [host=ADDRESS] port=N work=fill: stores the data set, and ends
#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>

#include "keys.h"
#include "loopback.h"
#include "program.h"
#include "slices.h"

namespace {

using namespace bench;

struct Client {
  int fd;
  SSL* ssl;
  std::string request, expected;
  size_t got = 0;
  double asked = 0;
};

SSL_CTX* MakeContext() {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_read_ahead(context, 1);  // one recv(2) instead of one for each header and body
  return context;
}

SSL* Secure(SSL_CTX* context, int fd) {
  SSL* ssl = SSL_new(context);
  SSL_set_fd(ssl, fd);
  if (SSL_connect(ssl) != 1) Fail("handshake");
  return ssl;
}

void Write(SSL* ssl, const std::string& bytes) {
  if (SSL_write(ssl, bytes.data(), static_cast<int>(bytes.size())) <= 0) Fail("SSL_write");
}

void Fill(SSL* ssl) {
  char buffer[4096];
  constexpr unsigned kBatch = 100;
  for (unsigned n = 0; n < kKeys; n += kBatch) {
    std::string requests;
    for (unsigned i = n; i < n + kBatch; ++i)
      requests += "set " + KeyOf(i) + " 0 0 32\r\n" + ValueOf(i) + "\r\n";
    Write(ssl, requests);
    for (size_t got = 0; got < kBatch * strlen("STORED\r\n");) {
      int count = SSL_read(ssl, buffer, sizeof buffer);
      if (count <= 0) Fail("fill");
      got += static_cast<size_t>(count);
    }
  }
}

class Load {
 public:
  Load(Slices* slices, SSL_CTX* context, const sockaddr_in& server, size_t connections)
      : slices_(slices) {
    for (size_t i = 0; i < connections; ++i) {
      int fd = Connect(server);
      clients_.push_back({fd, Secure(context, fd), {}, {}});
      fcntl(fd, F_SETFL, O_NONBLOCK);
    }
  }

  void RunSlice() {
    double now = Now();
    order_.clear();
    for (Client& client : clients_) Ask(&client, now);
    while ((asking_ = slices_->Asking(now, operations_)) || !order_.empty()) {
      Poll(now);
      now = Now();
    }
  }

 private:
  // A server answers roughly in the order of requests, so only the oldest few are polled.
  static constexpr size_t kOldest = 16;

  void Poll(double now) {
    if (order_.empty()) return;
    pollfd polled[kOldest];
    size_t count = std::min(order_.size(), kOldest);
    Client* oldest[kOldest];
    for (size_t i = 0; i < count; ++i) {
      oldest[i] = order_[i];
      polled[i] = {oldest[i]->fd, POLLIN, 0};
    }
    if (poll(polled, count, 0) <= 0) {
      slices_->idle += Now() - now;
      return;
    }
    for (size_t i = 0; i < count; ++i)
      if (polled[i].revents != 0) Receive(oldest[i]);
  }

  void Ask(Client* client, double now) {
    unsigned n = random_.Next() % kKeys;
    client->request = "get " + KeyOf(n) + "\r\n";
    client->expected = ItemOf(n) + "END\r\n";
    client->got = 0;
    client->asked = now;
    order_.push_back(client);
    Write(client->ssl, client->request);
  }

  void Receive(Client* client) {
    char buffer[4096];
    int count = SSL_read(client->ssl, buffer, sizeof buffer);
    if (count <= 0) {
      if (SSL_get_error(client->ssl, count) == SSL_ERROR_WANT_READ) return;
      Fail("the server has closed a connection");
    }
    auto length = static_cast<size_t>(count);
    if (client->expected.compare(client->got, length, buffer, length) != 0) ++slices_->bad;
    client->got += length;
    if (client->got < client->expected.size()) return;
    double now = Now();
    slices_->latencies.Add(now - client->asked);
    ++operations_;
    order_.erase(std::find(order_.begin(), order_.end(), client));
    if (asking_) Ask(client, now);
  }

  Slices* slices_;
  std::vector<Client> clients_;
  std::vector<Client*> order_;  // of their requests
  Random random_;
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
  PinTo(static_cast<int>(arguments.Number("cpu", 1)));
  arguments.End();

  SSL_CTX* context = MakeContext();
  if (work == "fill") {
    Fill(Secure(context, Connect(server)));
    return 0;
  }
  Slices slices(pid);
  Load load(&slices, context, server, connections);
  while (slices.Next()) {
    load.RunSlice();
    slices.Print();
  }
  return 0;
}
