// CPU lists as people write them: "0-3,8". No limit on the number of a CPU but kMaxCpu.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace rss {

using CpuList = std::vector<int>;  // ascending, without duplicates

constexpr int kMaxCpu = 65535;  // a bound against typing errors, far above any kernel's

// Reads digits of text from *at on and moves it past them. False without digits, or past kMaxCpu.
bool ParseDecimal(const std::string& text, size_t* at, int* out);

Result<CpuList> ParseCpuList(const std::string& text);
std::string FormatCpuList(const CpuList& cpus);
void Normalize(CpuList* cpus);
CpuList Intersect(const CpuList& a, const CpuList& b);
// (*domains)[cpu] = domain for each of the CPUs; makes it longer with -1.
void AssignDomain(const CpuList& cpus, int domain, std::vector<int>* domains);

}  // namespace rss
