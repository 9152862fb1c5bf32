#include "test/check.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

namespace rss_test {

static int passed_count, failed_count, skipped_count;

void Check(bool passed, const std::string& name, const std::string& detail) {
  ++(passed ? passed_count : failed_count);
  if (passed)
    printf("ok      %s\n", name.c_str());
  else
    printf("FAILED  %s%s%s\n", name.c_str(), detail.empty() ? "" : ": ", detail.c_str());
  fflush(stdout);
}

bool Await(int fd, short events) {
  pollfd wait{fd, events, 0};
  return poll(&wait, 1, kPatienceMs) == 1;
}

void Skip(const std::string& name, const std::string& reason) {
  ++skipped_count;
  printf("skipped %s: %s\n", name.c_str(), reason.c_str());
  fflush(stdout);
}

std::string Describe(const rss::Failure& failure) {
  std::string out = std::string(failure.syscall) + ": errno " + std::to_string(-failure.error) +
                    " (" + strerror(-failure.error) + ")";
  if (failure.option != nullptr) out += std::string(", ") + failure.option;
  if (!failure.detail.empty()) out += ", " + failure.detail;
  return out;
}

int Summary() {
  printf("%d passed, %d failed, %d skipped\n", passed_count, failed_count, skipped_count);
  return failed_count == 0 ? 0 : 1;
}

}  // namespace rss_test
