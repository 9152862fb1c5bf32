// Begins to load what words of shared memory lead to into the CPU's cache.
#include <algorithm>
#include <vector>

#include "bindings/callback.h"

namespace rss {
namespace {

constexpr size_t kCacheLine = 64;

// A table: memory of a segment from byte `begin` on. Its offsets count from there.
struct PrefetchTable {
  std::shared_ptr<Segment> segment;
  size_t begin;
};

// One place: a table, by its number, and the offset of a word.
struct PrefetchPlace {
  uint32_t table;
  uint32_t offset;
};

struct PrefetchTables {
  std::vector<PrefetchTable> tables;
  View<uint32_t> places;

  // The bytes from an offset on; none if the table has no whole word there.
  Elements<const uint8_t> From(uint32_t table, size_t offset) const {
    if (table >= tables.size()) return {};
    const PrefetchTable& of = tables[table];
    size_t at = of.begin + offset, size = of.segment->size();
    if (at + sizeof(uint32_t) > size) return {};
    return {of.segment->data() + at, size - at};
  }
};

// Begins to load the cache lines that hold bytes. Returns their number.
uint32_t LoadLines(const uint8_t* bytes, size_t length) {
  uint32_t lines = 0;
  const uint8_t* line = bytes - reinterpret_cast<uintptr_t>(bytes) % kCacheLine;
  for (; line < bytes + length; line += kCacheLine, ++lines) __builtin_prefetch(line);
  return lines;
}

// follow(count, bytes): so many bytes of what the words at the first `count` places lead to.
// Returns the number of cache lines.
Napi::Value FollowPlaces(const Napi::CallbackInfo& info) {
  const auto& all = *static_cast<PrefetchTables*>(info.Data());
  auto count = static_cast<uint32_t>(IntFromJs(info[0]));
  auto bytes = static_cast<size_t>(IntFromJs(info[1]));
  const auto* first = reinterpret_cast<const PrefetchPlace*>(all.places.data);
  const auto* end = first + count;
  for (const auto* place = first; place < end; ++place)
    __builtin_prefetch(all.From(place->table, place->offset).data);
  uint32_t lines = 0;
  for (const auto* place = first; place < end; ++place) {
    const uint8_t* word = all.From(place->table, place->offset).data;
    if (word == nullptr) continue;
    // Other threads may write the word at any time.
    uint32_t offset = __atomic_load_n(reinterpret_cast<const uint32_t*>(word), __ATOMIC_RELAXED);
    if (offset == 0) continue;
    auto found = all.From(place->table, offset);
    if (found.data != nullptr) lines += LoadLines(found.data, std::min(bytes, found.length));
  }
  return Napi::Number::New(info.Env(), lines);
}

// makePrefetch(segments, begins, places): follow(count, bytes), or a failure
Napi::Value MakePrefetch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  auto all = std::make_unique<PrefetchTables>();
  std::vector<int> ids = IntsFromJs(info[0]), begins = IntsFromJs(info[1]);
  for (size_t i = 0; i < ids.size(); ++i) {
    auto segment = SegmentFromJs(ToJs(env, ids[i]));
    if (!segment.ok()) return ToJs(env, segment.failure);
    all->tables.push_back({std::move(*segment), static_cast<size_t>(begins[i])});
  }
  all->places.Hold(info[2], 0);
  auto follow = Napi::Function::New<FollowPlaces>(env, "follow", all.get());
  if (follow.IsEmpty()) return follow;  // the thread is being terminated
  follow.AddFinalizer([](Napi::Env, PrefetchTables* unused) { delete unused; }, all.release());
  return follow;
}

}  // namespace

void RegisterPrefetch(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "makePrefetch", MakePrefetch);
}

}  // namespace rss
