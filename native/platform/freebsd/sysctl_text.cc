// Values of sysctl(3) as text, and whole subtrees of them: dev.igb.0, hw.intrs.
#include <sys/types.h>
// sys/sysctl.h needs sys/types.h first
#include <string.h>
#include <sys/sysctl.h>

#include <algorithm>

#include "platform/platform.h"

namespace rss {
namespace {

// CTL_SYSCTL, CTL_SYSCTL_NAME, CTL_SYSCTL_NEXT and CTL_SYSCTL_OIDFMT, which have no names
// before 13.
constexpr int kSysctl = 0, kName = 1, kNext = 2, kFormat = 4;

using Oid = std::vector<int>;

// Asks the sysctl subsystem itself something about a name. Returns the bytes it writes, or -errno.
ssize_t Ask(int question, const Oid& oid, void* answer, size_t size) {
  Oid query = {kSysctl, question};
  query.insert(query.end(), oid.begin(), oid.end());
  if (sysctl(query.data(), static_cast<unsigned>(query.size()), answer, &size, nullptr, 0) != 0)
    return -errno;
  return static_cast<ssize_t>(size);
}

// The raw value; empty when it cannot be read.
std::string ReadBytes(const Oid& oid) {
  auto length = static_cast<unsigned>(oid.size());
  for (int attempt = 0; attempt < 4; ++attempt) {  // the value may grow between the two calls
    size_t size = 0;
    if (sysctl(oid.data(), length, nullptr, &size, nullptr, 0) != 0) break;
    std::string bytes(size + size / 8 + 64, '\0');
    size = bytes.size();
    if (sysctl(oid.data(), length, &bytes[0], &size, nullptr, 0) == 0) {
      bytes.resize(size);
      return bytes;
    }
    if (errno != ENOMEM) break;
  }
  return {};
}

template <typename T>
std::string Numbers(const std::string& bytes) {
  std::string text;
  for (size_t at = 0; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    T value;
    memcpy(&value, bytes.data() + at, sizeof value);
    if (at > 0) text += ' ';
    text += std::to_string(value);
  }
  return text;
}

// False for structures and nodes, which have no text.
bool Format(unsigned type, const std::string& bytes, std::string* text) {
  switch (type & CTLTYPE) {
    case CTLTYPE_STRING:
      *text = bytes.substr(0, strnlen(bytes.data(), bytes.size()));
      return true;
    case CTLTYPE_INT:
      *text = Numbers<int>(bytes);
      return true;
    case CTLTYPE_UINT:
      *text = Numbers<unsigned>(bytes);
      return true;
    case CTLTYPE_LONG:
      *text = Numbers<long>(bytes);
      return true;
    case CTLTYPE_ULONG:
      *text = Numbers<unsigned long>(bytes);
      return true;
    case CTLTYPE_S64:
      *text = Numbers<int64_t>(bytes);
      return true;
    case CTLTYPE_U64:
      *text = Numbers<uint64_t>(bytes);
      return true;
    case CTLTYPE_U8:
      *text = Numbers<uint8_t>(bytes);
      return true;
    case CTLTYPE_U16:
      *text = Numbers<uint16_t>(bytes);
      return true;
    case CTLTYPE_S32:
      *text = Numbers<int32_t>(bytes);
      return true;
    case CTLTYPE_U32:
      *text = Numbers<uint32_t>(bytes);
      return true;
    default:
      return false;
  }
}

void Append(const Oid& oid, std::vector<SystemValue>* out) {
  struct {
    unsigned type;
    char format[256];
  } description = {};
  char name[512] = {};
  if (Ask(kFormat, oid, &description, sizeof description) < 0) return;
  if (Ask(kName, oid, name, sizeof name - 1) < 0) return;
  SystemValue value;
  value.name = name;
  std::string bytes = ReadBytes(oid);
  if (!bytes.empty() && Format(description.type, bytes, &value.text)) out->push_back(value);
}

}  // namespace

Result<std::vector<SystemValue>> ReadSystemValues(const std::string& name) {
  int found[CTL_MAXNAME];
  size_t length = CTL_MAXNAME;
  if (sysctlnametomib(name.c_str(), found, &length) != 0) {
    Failure failure = LastError("sysctlnametomib");
    failure.detail = name;
    return failure;
  }
  const Oid root(found, found + length);
  std::vector<SystemValue> values;
  Append(root, &values);
  if (!values.empty()) return values;  // a leaf
  Oid oid = root;
  for (;;) {
    int next[CTL_MAXNAME];
    ssize_t size = Ask(kNext, oid, next, sizeof next);
    if (size < 0) break;
    oid.assign(next, next + static_cast<size_t>(size) / sizeof(int));
    bool inside = oid.size() >= root.size() && std::equal(root.begin(), root.end(), oid.begin());
    if (!inside) break;
    Append(oid, &values);
  }
  return values;
}

}  // namespace rss
