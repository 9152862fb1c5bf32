#include "core/cpulist.h"

#include <algorithm>
#include <iterator>

namespace rss {

bool ParseDecimal(const std::string& text, size_t* at, int* out) {
  size_t start = *at;
  *out = 0;
  while (*at < text.size() && text[*at] >= '0' && text[*at] <= '9') {
    *out = *out * 10 + (text[*at] - '0');
    if (*out > kMaxCpu) return false;
    ++*at;
  }
  return *at > start;
}

void Normalize(CpuList* cpus) {
  std::sort(cpus->begin(), cpus->end());
  cpus->erase(std::unique(cpus->begin(), cpus->end()), cpus->end());
}

Result<CpuList> ParseCpuList(const std::string& text) {
  CpuList cpus;
  for (size_t at = 0; at <= text.size(); ++at) {
    int first = 0;
    if (!ParseDecimal(text, &at, &first))
      return MakeFailure(EINVAL, "", "CPU list \"" + text + "\"");
    int last = first;
    if (at < text.size() && text[at] == '-') {
      ++at;
      if (!ParseDecimal(text, &at, &last) || last < first)
        return MakeFailure(EINVAL, "", "CPU list \"" + text + "\"");
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    if (at < text.size() && text[at] != ',')
      return MakeFailure(EINVAL, "", "CPU list \"" + text + "\"");
  }
  Normalize(&cpus);
  return cpus;
}

std::string FormatCpuList(const CpuList& cpus) {
  std::string out;
  for (size_t i = 0; i < cpus.size();) {
    size_t end = i;
    while (end + 1 < cpus.size() && cpus[end + 1] == cpus[end] + 1) ++end;
    if (!out.empty()) out += ',';
    out += std::to_string(cpus[i]);
    if (end > i) out += '-' + std::to_string(cpus[end]);
    i = end + 1;
  }
  return out;
}

CpuList Intersect(const CpuList& a, const CpuList& b) {
  CpuList out;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(out));
  return out;
}

void AssignDomain(const CpuList& cpus, int domain, std::vector<int>* domains) {
  if (!cpus.empty() && domains->size() <= static_cast<size_t>(cpus.back()))
    domains->resize(cpus.back() + 1, -1);
  for (int cpu : cpus) (*domains)[cpu] = domain;
}

}  // namespace rss
