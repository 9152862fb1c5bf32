#include "platform/posix/shm.h"

#include <sys/mman.h>

#include <map>
#include <mutex>

namespace rss {
namespace {

struct Registry {
  std::mutex mutex;
  uint32_t next_id = 1;
  std::map<uint32_t, std::weak_ptr<Segment>> segments;
};

Registry& TheRegistry() {
  static Registry* registry = new Registry;  // never destroyed: threads may outlive static objects
  return *registry;
}

}  // namespace

Segment::Segment(UniqueFd fd, uint8_t* data, size_t size)
    : fd_(std::move(fd)), data_(data), size_(size) {
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  id_ = registry.next_id++;
}

Segment::~Segment() {
  munmap(data_, size_);
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  registry.segments.erase(id_);
}

Result<std::shared_ptr<Segment>> Segment::Create(size_t size) {
  auto fd = CreateAnonymousShm();
  if (!fd.ok()) return fd.failure;
  if (ftruncate(fd.value.get(), static_cast<off_t>(size)) != 0) return LastError("ftruncate");
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.value.get(), 0);
  if (data == MAP_FAILED) return LastError("mmap");
  auto segment = std::make_shared<Segment>(std::move(fd.value), static_cast<uint8_t*>(data), size);
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  registry.segments[segment->id()] = segment;
  return segment;
}

std::shared_ptr<Segment> Segment::Find(uint32_t id) {
  Registry& registry = TheRegistry();
  std::lock_guard<std::mutex> lock(registry.mutex);
  auto found = registry.segments.find(id);
  return found == registry.segments.end() ? nullptr : found->second.lock();
}

}  // namespace rss
