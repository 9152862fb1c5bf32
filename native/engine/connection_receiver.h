// Receives the connections that a worker serves.
#pragma once

#include "core/bucket_table.h"

namespace rss {

class ConnectionReceiver {
 public:
  virtual ~ConnectionReceiver() = default;
  virtual void Receive(Connection&& connection) = 0;
  // Called after the last Receive() of a pass. May run JavaScript.
  virtual void EndPass() = 0;
  // Whether connections wait for JavaScript to take them.
  virtual bool has_waiting() const = 0;
};

}  // namespace rss
