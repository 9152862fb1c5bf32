#include <sys/resource.h>

#include <cerrno>

#include "platform/platform.h"

namespace rss {
namespace {

double Microseconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
}

}  // namespace

Result<ThreadUsage> UsageOfThread() {
  rusage usage = {};
  if (getrusage(RUSAGE_THREAD, &usage) != 0) return MakeFailure(errno, "getrusage");
  ThreadUsage out;
  out.user_us = Microseconds(usage.ru_utime);
  out.system_us = Microseconds(usage.ru_stime);
  out.voluntary_switches = static_cast<double>(usage.ru_nvcsw);
  out.involuntary_switches = static_cast<double>(usage.ru_nivcsw);
  return out;
}

}  // namespace rss
