#include "engine/pending_connections.h"

#include <algorithm>

#include "platform/posix/inspect.h"

namespace rss {

void PendingConnections::EndPass() {
  if (pending_.empty() || delivering_ || closed_) return;
  delivering_ = true;
  bool alive = sink_->OnConnections(pending_.size());
  delivering_ = false;
  if (closed_) return;
  RemoveTaken();
  if (alive && !pending_.empty()) waker_->Wake();
}

int PendingConnections::Take(size_t i) {
  if (i >= pending_.size() || !pending_[i].fd) return -EBADF;
  Connection& connection = pending_[i];
  int bucket = connection.flow.bucket;
  context_.counter(bucket).served += 1;
  in_transit_ = {connection.fd.get(), connection.peer, connection.local};
  sockets_->Add(bucket, std::move(connection.place));
  return connection.fd.release();
}

void PendingConnections::RemoveTaken() {
  pending_.erase(std::remove_if(pending_.begin(), pending_.end(),
                                [](const Connection& connection) { return !connection.fd; }),
                 pending_.end());
}

void PendingConnections::Close() {
  if (closed_) return;
  closed_ = true;
  RemoveTaken();
  context_.table->ReturnConnections(std::move(pending_));
  pending_.clear();
  if (in_transit_.fd >= 0 && IsConnection(in_transit_.fd, in_transit_.peer, in_transit_.local))
    UniqueFd abandoned(in_transit_.fd);
}

}  // namespace rss
