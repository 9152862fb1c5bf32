// The pinning of a worker's thread.
#include <pthread.h>

#include <utility>

#include "platform/platform.h"

namespace rss {
namespace {

thread_local bool is_worker = false;
// The mask of the calling thread, while it forks.
thread_local CpuList* own_mask = nullptr;

// A child process inherits the mask of the thread that calls fork(2). The mask is widened around
// the call, because little is safe in the child itself.
void BeforeFork() {
  if (!is_worker) return;
  auto own = ThreadAffinity();
  auto process = ProcessCpus();
  if (own.ok() && process.ok() && SetThreadAffinity(process.value).ok())
    own_mask = new CpuList(std::move(own.value));
}

void AfterFork() {
  if (own_mask == nullptr) return;
  (void)SetThreadAffinity(*own_mask);
  delete own_mask;
  own_mask = nullptr;
}

}  // namespace

Status PinWorker(int cpu) {
  static const int error = pthread_atfork(BeforeFork, AfterFork, nullptr);
  if (error != 0) return MakeFailure(error, "pthread_atfork");
  is_worker = true;
  return SetThreadAffinity({cpu});
}

}  // namespace rss
