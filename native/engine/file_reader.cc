#include "engine/file_reader.h"

#include <pthread.h>

#include <algorithm>
#include <deque>
#include <mutex>

namespace rss {

struct FileReader::Job {
  uint32_t connection;
  std::shared_ptr<SendSource> source;
  FileRange range;
  int result;
};

// Of the loop and the threads, which may outlive it.
struct FileReader::Shared {
  std::mutex mutex;
  uv_async_t* async = nullptr;  // null once the reader is closed
  size_t threads = 0;
  std::deque<Job> waiting, done;
};

int FileReader::Read(uint32_t connection, std::shared_ptr<SendSource> source, uint64_t offset,
                     size_t length) {
  int error = shared_ == nullptr ? Begin() : 0;
  if (error != 0) return error;
  FileRange range = source->Range(offset, std::min(length, kMostRead));
  std::lock_guard<std::mutex> lock(shared_->mutex);
  shared_->waiting.push_back({connection, std::move(source), range, 0});
  if (shared_->threads == kMostThreads) return 0;
  auto owned = std::make_unique<std::shared_ptr<Shared>>(shared_);
  uv_thread_t thread;
  if (uv_thread_create(&thread, Run, owned.get()) == 0) {
    (void)owned.release();  // the thread owns it
    pthread_detach(thread);
    ++shared_->threads;
  } else if (shared_->threads == 0) {
    shared_->waiting.pop_back();
    return -ENOMEM;
  }
  return 0;
}

int FileReader::Begin() {
  int error = uv_async_init(loop_, async_.get(), [](uv_async_t* async) {
    if (async->data != nullptr) static_cast<FileReader*>(async->data)->Finish();
  });
  if (error != 0) return error;
  async_.set_initialized();
  uv_unref(reinterpret_cast<uv_handle_t*>(async_.get()));
  shared_ = std::make_shared<Shared>();
  shared_->async = async_.get();
  return 0;
}

// A thread ends when there is nothing left to read.
void FileReader::Run(void* argument) {
  std::unique_ptr<std::shared_ptr<Shared>> owned(static_cast<std::shared_ptr<Shared>*>(argument));
  Shared& shared = **owned;
  std::unique_lock<std::mutex> lock(shared.mutex);
  while (!shared.waiting.empty()) {
    Job job = std::move(shared.waiting.front());
    shared.waiting.pop_front();
    lock.unlock();
    job.result = ReadIntoMemory(job.range);
    lock.lock();
    if (shared.async == nullptr) break;
    shared.done.push_back(std::move(job));
    uv_async_send(shared.async);
  }
  --shared.threads;
}

void FileReader::Finish() {
  std::deque<Job> done;
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    done.swap(shared_->done);
  }
  for (Job& job : done) {
    job.source->read_in = job.range.length;
    owner_->OnFileRead(job.connection, job.result);
  }
}

void FileReader::Close() {
  if (shared_ != nullptr) {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->async = nullptr;
    shared_->waiting.clear();
    shared_->done.clear();
  }
  async_.Close();
}

}  // namespace rss
