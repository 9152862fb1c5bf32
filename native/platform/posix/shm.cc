#include "platform/posix/shm.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

namespace rss {
namespace {

constexpr size_t kSmallestPage = 4096, kLargestPage = 64 * 1024;  // of all processors

struct Registry {
  std::mutex mutex;
  uint32_t next_id = 1;
  std::map<uint32_t, std::weak_ptr<Segment>> segments;
};

Registry& TheRegistry() {
  static Registry* registry = new Registry;  // leaked: threads may outlive static objects
  return *registry;
}

size_t RoundUp(size_t size, size_t unit) {
  return (size + unit - 1) / unit * unit;
}

}  // namespace

Segment::Segment(UniqueFd fd, uint8_t* data, const SegmentOptions& options, LargePages large_pages)
    : fd_(std::move(fd)),
      data_(data),
      max_size_(options.max_size),
      named_(!options.name.empty()),
      locked_(options.lock),
      large_pages_(large_pages) {
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  id_ = registry.next_id++;
}

Segment::~Segment() {
  munmap(data_, max_size_);
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  registry.segments.erase(id_);
}

// Maps the object over reserved addresses, from the page in which `size_` ends. The mapping never
// exceeds the object: FreeBSD refuses that, and Linux raises SIGBUS.
Status Segment::MapUpTo(size_t size) {
  size_t from = size_ / kLargePage * kLargePage;
  // With too few large pages, MAP_FIXED would fail after it has unmapped the addresses, and other
  // threads' mappings could take them. What the trial reserves stays with the object.
  if (large_pages_ == LargePages::kReserved) {
    void* trial = mmap(nullptr, size - from, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(),
                       static_cast<off_t>(from));
    if (trial == MAP_FAILED) return LastError("mmap");
    munmap(trial, size - from);
  }
  void* at = mmap(data_ + from, size - from, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                  fd_.get(), static_cast<off_t>(from));
  if (at == MAP_FAILED) return LastError("mmap");
  if (large_pages_ == LargePages::kNone) KeepPagesSmall(at, size - from);
  if (large_pages_ == LargePages::kTransparent) PreferLargePages(at, size - from);
  if (locked_ && mlock(data_ + from, size - from) != 0) locked_ = false;
  size_.store(size, std::memory_order_release);
  return Nothing{};
}

static Result<std::shared_ptr<Segment>> Map(UniqueFd fd, SegmentOptions options,
                                            LargePages large_pages) {
  options.max_size = RoundUp(std::max(options.max_size, options.size), kLargestPage);
  uint8_t* data = ReserveAddresses(options.max_size);
  if (data == nullptr) return LastError("mmap");
  auto segment = std::make_shared<Segment>(std::move(fd), data, options, large_pages);
  Status mapped = segment->Grow(options.size);
  if (!mapped.ok()) return mapped.failure;
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  registry.segments[segment->id()] = segment;
  return segment;
}

Result<std::shared_ptr<Segment>> Segment::Create(const SegmentOptions& asked) {
  SegmentOptions options = asked;
  if (options.large_pages && options.name.empty()) {
    options.size = RoundUp(options.size, kLargePage);
    options.max_size = RoundUp(options.max_size, kLargePage);  // addresses in whole pages
    auto fd = CreateAnonymousShm(true);
    if (fd.ok()) {
      auto segment = Map(std::move(fd.value), options, LargePages::kReserved);
      if (segment.ok()) return segment;
    }
    options = asked;
  }
  bool transparent = options.large_pages && options.name.empty() && HasTransparentLargePages();
  Result<UniqueFd> fd;
  if (options.name.empty()) {
    fd = CreateAnonymousShm(false);
  } else {
    fd.value.reset(shm_open(options.name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                            static_cast<mode_t>(options.mode)));
    if (!fd.value) return LastError("shm_open");
  }
  if (!fd.ok()) return fd.failure;
  auto segment =
      Map(std::move(fd.value), options, transparent ? LargePages::kTransparent : LargePages::kNone);
  if (!segment.ok() && !options.name.empty()) shm_unlink(options.name.c_str());
  return segment;
}

Result<std::shared_ptr<Segment>> Segment::OpenNamed(const SegmentOptions& options) {
  UniqueFd fd(shm_open(options.name.c_str(), O_RDWR | O_CLOEXEC, 0));
  if (!fd) return LastError("shm_open");
  return Adopt(std::move(fd), options);
}

Result<std::shared_ptr<Segment>> Segment::Adopt(UniqueFd fd, SegmentOptions options) {
  struct stat status;
  if (fstat(fd.get(), &status) != 0) return LastError("fstat");
  options.size = static_cast<size_t>(status.st_size);
  if (options.size == 0) return MakeFailure(EINVAL, "mmap", "the object has no size yet");
  // Advice about reserved pages has no effect.
  return Map(std::move(fd), options,
             options.large_pages ? LargePages::kTransparent : LargePages::kNone);
}

Status Segment::Unlink(const std::string& name) {
  if (shm_unlink(name.c_str()) != 0) return LastError("shm_unlink");
  return Nothing{};
}

std::shared_ptr<Segment> Segment::Find(uint32_t id) {
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  auto found = registry.segments.find(id);
  return found == registry.segments.end() ? nullptr : found->second.lock();
}

Status Segment::Grow(size_t size) {
  std::lock_guard<std::mutex> lock(growing_);
  if (size <= size_) return Nothing{};
  if (size > max_size_)
    return MakeFailure(ENOMEM, "ftruncate", "larger than the segment's maximum size");
  if (large_pages_ == LargePages::kReserved) size = RoundUp(size, kLargePage);
  // Another process may have grown a named object already.
  struct stat status;
  if (fstat(fd_.get(), &status) != 0) return LastError("fstat");
  auto from = static_cast<size_t>(status.st_size);
  if (from < size && named_) {
    Status extended = ExtendNamedShm(fd_.get(), from, size);
    if (!extended.ok()) return extended;
  } else if (from < size && ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
    return LastError("ftruncate");
  }
  return MapUpTo(size);
}

Status Segment::Seal() {
  return SealSize(fd_.get());
}

bool Segment::Lock() {
  std::lock_guard<std::mutex> lock(growing_);
  locked_ = mlock(data_, size_) == 0;
  return locked_;
}

void Segment::Prefault() {
  size_t size = this->size();
  // Replaces 0 by 0 in each page: atomically, because other threads may write to it. (clang drops
  // an atomic addition of 0.)
  for (size_t at = 0; at < size; at += kSmallestPage) {
    uint8_t zero = 0;
    __atomic_compare_exchange_n(data_ + at, &zero, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  }
}

}  // namespace rss
