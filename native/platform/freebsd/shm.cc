#include <fcntl.h>
#include <sys/mman.h>
#include <sys/types.h>
// sys/sysctl.h needs sys/types.h first
#include <sys/sysctl.h>
#include <unistd.h>

#include "platform/freebsd/constants.h"
#include "platform/platform.h"

// Since FreeBSD 13; null in the C library of 12.
extern "C" {
int memfd_create(const char*, unsigned) __attribute__((weak));
int shm_create_largepage(const char*, int, int, int, mode_t) __attribute__((weak));
int shm_unlink(const char*);
}

namespace rss {
namespace {

constexpr int kFirstLargeSize = 1;  // index of 2 MiB in getpagesizes(3), amd64 and arm64
constexpr int kNoWait = 1;          // SHM_LARGEPAGE_ALLOC_NOWAIT: fails instead of waiting

}  // namespace

Result<UniqueFd> CreateAnonymousShm(bool large_pages) {
  if (large_pages) {
    if (shm_create_largepage == nullptr)
      return MakeFailure(ENOTSUP, "shm_create_largepage", "FreeBSD has it since 13");
    UniqueFd fd(shm_create_largepage(SHM_ANON, O_RDWR | O_CLOEXEC, kFirstLargeSize, kNoWait, 0600));
    if (!fd) return LastError("shm_create_largepage");
    return fd;
  }
  // SHM_ANON is the only name that capability mode allows.
  UniqueFd fd(memfd_create != nullptr ? memfd_create("freebsd-rss", kMfdCloexec | kMfdAllowSealing)
                                      : shm_open(SHM_ANON, O_RDWR | O_CLOEXEC, 0600));
  if (!fd) return LastError("shm_open");
  if (memfd_create != nullptr && fcntl(fd.get(), kAddSeals, kSealShrink) != 0)
    return LastError("fcntl", "F_SEAL_SHRINK");
  return fd;
}

Status SealSize(int fd) {
  if (fcntl(fd, kAddSeals, kSealShrink | kSealGrow) != 0) return LastError("fcntl", "F_SEAL_GROW");
  return Nothing{};
}

uint8_t* ReserveAddresses(size_t size) {
  int alignment = size < kLargePage ? 0 : MAP_ALIGNED_SUPER;
  void* got = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANON | alignment, -1, 0);
  return got == MAP_FAILED ? nullptr : static_cast<uint8_t*>(got);
}

Status ExtendNamedShm(int fd, size_t, size_t to) {
  if (ftruncate(fd, static_cast<off_t>(to)) != 0) return LastError("ftruncate");
  return Nothing{};
}

void KeepPagesSmall(void*, size_t) {}

// Nothing to ask for: the addresses are aligned, and the kernel promotes pages that are in use.
void PreferLargePages(void*, size_t) {}

bool HasTransparentLargePages() {
  for (const char* name :
       {"vm.pmap.pg_ps_enabled", "vm.pmap.superpages_enabled"}) {  // amd64, arm64
    int enabled = 0;
    size_t size = sizeof enabled;
    if (sysctlbyname(name, &enabled, &size, nullptr, 0) == 0) return enabled != 0;
  }
  return false;
}

Status RenewPages(int, uint64_t, size_t) {
  return MakeFailure(ENOTSUP, "fallocate", "pages that are being sent stay in their object");
}

bool CanRenewPages() {
  return false;
}

}  // namespace rss
