// EVFILT_EMPTY (12+) on a kqueue(2) of its own reports that a send buffer is empty.
#include <netinet/in.h>
#include <sys/types.h>
// sys/event.h needs sys/types.h first
#include <sys/event.h>
#include <sys/socket.h>

#include <algorithm>

#include "platform/platform.h"

namespace rss {
namespace {

constexpr size_t kMostEvents = 64;
constexpr timespec kAtOnce{0, 0};

}  // namespace

size_t BuildAckControl(void*) {
  return 0;
}

bool AckQueue::NeedsEmpty() {
  return true;
}

bool AckQueue::RaisesErrors() {
  return false;
}

bool AckQueue::Open() {
  queue_.reset(kqueue());
  return static_cast<bool>(queue_);
}

// TCP alone: 15.0 does not report every empty Unix socket.
bool AckQueue::Prepare(int socket, uint32_t) {
  int protocol = 0;
  socklen_t length = sizeof protocol;
  return queue_ && getsockopt(socket, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0 &&
         protocol == IPPROTO_TCP;
}

// Only EV_ENABLE checks a socket again whose event was delivered.
bool AckQueue::Await(int socket, uint32_t id, bool reported) {
  struct kevent change;
  EV_SET(&change, socket, EVFILT_EMPTY, EV_ADD | EV_ENABLE | EV_DISPATCH, 0, 0,
         reinterpret_cast<void*>(uintptr_t{id}));
  return reported && kevent(queue_.get(), &change, 1, nullptr, 0, &kAtOnce) == 0;
}

size_t AckQueue::Take(uint32_t* ids, size_t most) {
  struct kevent events[kMostEvents];
  int wanted = static_cast<int>(std::min(most, kMostEvents));
  int count = kevent(queue_.get(), nullptr, 0, events, wanted, &kAtOnce);
  for (int i = 0; i < count; ++i)
    ids[i] = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(events[i].udata));
  return static_cast<size_t>(std::max(count, 0));
}

}  // namespace rss
