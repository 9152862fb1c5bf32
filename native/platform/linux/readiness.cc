// epoll(7).
#include <sys/epoll.h>

#include "platform/platform.h"

namespace rss {

bool WatchEdges(int queue, int fd) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
  event.data.fd = fd;  // as libuv registers it
  return epoll_ctl(queue, EPOLL_CTL_MOD, fd, &event) == 0;
}

}  // namespace rss
