// Reads parts of files into memory on threads of its own, so that nothing on the loop waits for the
// disk. libuv's threads would do, but a loop cannot end before its requests have, and these may
// wait for a disk without limit.
#pragma once

#include <memory>

#include "engine/handle.h"
#include "engine/send_source.h"

namespace rss {

class FileReaderOwner {
 public:
  virtual ~FileReaderOwner() = default;
  // What Read() was called for has been read: 0, or -errno.
  virtual void OnFileRead(uint32_t connection, int result) = 0;
};

class FileReader {
 public:
  static constexpr size_t kMostRead = 1024 * 1024;
  static constexpr size_t kMostThreads = 4;

  FileReader(uv_loop_t* loop, FileReaderOwner* owner) : loop_(loop), owner_(owner), async_(this) {}
  ~FileReader() { Close(); }

  // Reads at most kMostRead bytes of the range, and sets `source->read_in`. Returns 0 or -errno.
  int Read(uint32_t connection, std::shared_ptr<SendSource> source, uint64_t offset, size_t length);
  // Idempotent. OnFileRead() is not called any more.
  void Close();

 private:
  struct Job;
  struct Shared;

  int Begin();
  void Finish();
  static void Run(void* shared);

  uv_loop_t* loop_;
  FileReaderOwner* owner_;
  Handle<uv_async_t> async_;
  std::shared_ptr<Shared> shared_;  // null until the first read
};

}  // namespace rss
