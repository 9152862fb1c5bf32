// Sockets on their way from one worker to another. They belong to the process, as inboxes do.
#pragma once

#include <stdint.h>

#include <map>
#include <mutex>

#include "core/unique_fd.h"

namespace rss {

struct PassedSocket {
  UniqueFd fd;
  uint32_t dropped = 0;  // datagrams that it could not take, as far as they have been counted
};

class PassedSockets {
 public:
  // The most new ones at once: a worker that is blocked takes none.
  static constexpr size_t kMost = 256;

  // Returns the ticket for Take(), or 0 when there are `most`; the socket then stays with the
  // caller.
  uint32_t Put(PassedSocket&& socket, size_t most) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (sockets_.size() >= most) return 0;
    if (++last_ == 0) ++last_;
    sockets_[last_] = std::move(socket);
    return last_;
  }

  // Without a descriptor when there is no such socket.
  PassedSocket Take(uint32_t ticket) {
    std::lock_guard<std::mutex> lock(mutex_);
    auto found = sockets_.find(ticket);
    if (found == sockets_.end()) return PassedSocket();
    PassedSocket socket = std::move(found->second);
    sockets_.erase(found);
    return socket;
  }

 private:
  std::mutex mutex_;
  std::map<uint32_t, PassedSocket> sockets_;
  uint32_t last_ = 0;
};

}  // namespace rss
