// CPU lists in text form: "0-3,8". CPU numbers go up to kMaxCpu.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"

namespace rss {

using CpuList = std::vector<int>;  // ascending, without duplicates

constexpr int kMaxCpu = 65535;  // catches typing errors; far above any kernel's limit

// Reads digits of text from *at on and moves it past them. False without digits, or past kMaxCpu.
bool ParseDecimal(const std::string& text, size_t* at, int* out);

Result<CpuList> ParseCpuList(const std::string& text);
std::string FormatCpuList(const CpuList& cpus);
void Normalize(CpuList* cpus);
CpuList Intersect(const CpuList& a, const CpuList& b);
// Sets (*domains)[cpu] = domain for each CPU. Extends the vector with -1.
void AssignDomain(const CpuList& cpus, int domain, std::vector<int>* domains);

}  // namespace rss
