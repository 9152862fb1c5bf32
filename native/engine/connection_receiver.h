// Where a worker's connections go once they are accepted and belong to it.
#pragma once

#include "core/bucket_table.h"

namespace rss {

class ConnectionReceiver {
 public:
  virtual ~ConnectionReceiver() = default;
  virtual void Receive(Connection&& connection) = 0;
  // After the last Receive() of a pass. May run JavaScript.
  virtual void EndPass() = 0;
  // Whether connections wait that JavaScript has not taken.
  virtual bool has_waiting() const = 0;
};

}  // namespace rss
