#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string_view>

#include "platform/platform.h"

namespace rss {
namespace {

constexpr unsigned kHuge2Mb = 21u << 26;  // MFD_HUGE_2MB of linux/memfd.h

}  // namespace

Result<UniqueFd> CreateAnonymousShm(bool large_pages) {
  unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  if (large_pages) flags |= MFD_HUGETLB | kHuge2Mb;
  UniqueFd fd(memfd_create("freebsd-rss", flags));
  if (!fd) return LastError("memfd_create");
  if (fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK) != 0) return LastError("fcntl", "F_SEAL_SHRINK");
  return fd;
}

Status SealSize(int fd) {
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0)
    return LastError("fcntl", "F_SEAL_GROW");
  return Nothing{};
}

uint8_t* ReserveAddresses(size_t size) {
  size_t spare = size < kLargePage ? 0 : kLargePage;
  void* got =
      mmap(nullptr, size + spare, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (got == MAP_FAILED) return nullptr;
  auto* begin = static_cast<uint8_t*>(got);
  if (spare == 0) return begin;
  size_t before = -reinterpret_cast<uintptr_t>(begin) % kLargePage;
  if (before > 0) munmap(begin, before);
  munmap(begin + before + size, spare - before);
  return begin + before;
}

Status ExtendNamedShm(int fd, size_t from, size_t to) {
  int error = posix_fallocate(fd, static_cast<off_t>(from), static_cast<off_t>(to - from));
  if (error != 0) return MakeFailure(error, "posix_fallocate");
  return Nothing{};
}

void KeepPagesSmall(void* at, size_t length) {
  madvise(at, length, MADV_NOHUGEPAGE);
}

void PreferLargePages(void* at, size_t length) {
  madvise(at, length, MADV_HUGEPAGE);
}

// The file lists all settings, with the present one in brackets.
bool HasTransparentLargePages() {
  UniqueFd fd(open("/sys/kernel/mm/transparent_hugepage/shmem_enabled", O_RDONLY | O_CLOEXEC));
  char text[256];
  ssize_t length = read(fd.get(), text, sizeof text);
  if (length <= 0) return false;
  std::string_view setting(text, static_cast<size_t>(length));
  return setting.find("[never]") == setting.npos && setting.find("[deny]") == setting.npos;
}

Status RenewPages(int fd, uint64_t offset, size_t length) {
  if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                static_cast<off_t>(length)) != 0)
    return LastError("fallocate", "FALLOC_FL_PUNCH_HOLE");
  return Nothing{};
}

bool CanRenewPages() {
  return true;
}

}  // namespace rss
