// What the load clients share: arguments, clocks, CPU time of the server, latency percentiles, and
// the one line of JSON that each prints. Linux: /proc.
#pragma once

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace bench {

[[noreturn]] inline void Fail(const char* what) {
  perror(what);
  exit(1);
}

// name=value arguments. A name that nobody asks for is an error.
class Arguments {
 public:
  Arguments(int count, char** words) {
    for (int i = 1; i < count; ++i) {
      std::string word = words[i];
      size_t equals = word.find('=');
      if (equals == std::string::npos) {
        fprintf(stderr, "not name=value: %s\n", words[i]);
        exit(64);
      }
      values_[word.substr(0, equals)] = word.substr(equals + 1);
    }
  }
  std::string Text(const char* name, const char* otherwise) {
    auto found = values_.find(name);
    std::string value = found == values_.end() ? otherwise : found->second;
    if (found != values_.end()) values_.erase(found);
    return value;
  }
  double Number(const char* name, double otherwise) {
    std::string text = Text(name, "");
    return text.empty() ? otherwise : atof(text.c_str());
  }
  void End() {
    if (values_.empty()) return;
    fprintf(stderr, "unknown argument: %s\n", values_.begin()->first.c_str());
    exit(64);
  }

 private:
  std::map<std::string, std::string> values_;
};

inline double Now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

inline double OwnCpu() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// CPU seconds of a process and its children, over their live threads (proc(5), schedstat:
// nanoseconds).
inline double CpuOf(int pid) {
  std::string folder = "/proc/" + std::to_string(pid) + "/task";
  DIR* directory = opendir(folder.c_str());
  if (directory == nullptr) return 0;
  double seconds = 0;
  while (dirent* entry = readdir(directory)) {
    if (entry->d_name[0] == '.') continue;
    FILE* file = fopen((folder + "/" + entry->d_name + "/schedstat").c_str(), "r");
    if (file == nullptr) continue;
    unsigned long long nanoseconds = 0;
    if (fscanf(file, "%llu", &nanoseconds) == 1) seconds += static_cast<double>(nanoseconds) * 1e-9;
    fclose(file);
    file = fopen((folder + "/" + entry->d_name + "/children").c_str(), "r");
    if (file == nullptr) continue;
    for (int child; fscanf(file, "%d", &child) == 1;) seconds += CpuOf(child);
    fclose(file);
  }
  closedir(directory);
  return seconds;
}

// Busy CPU seconds of the whole machine.
inline double MachineCpu() {
  unsigned long long user = 0, nice = 0, system = 0, idle, wait, irq = 0, soft = 0, steal = 0;
  FILE* file = fopen("/proc/stat", "r");
  if (file == nullptr) return 0;
  if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
             &wait, &irq, &soft, &steal) != 8)
    user = 0;
  fclose(file);
  return static_cast<double>(user + nice + system + irq + soft + steal) /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

inline void PinTo(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) Fail("sched_setaffinity");
}

// Microseconds, 1 to about 10^6, to within 1.6 %: 64 steps per power of two.
class Latencies {
 public:
  void Add(double seconds) {
    auto ns = static_cast<uint64_t>(seconds * 1e9);
    if (ns < 64) ns = 64;
    int power = 63 - __builtin_clzll(ns);
    size_t index = static_cast<size_t>(power) * 64 + ((ns >> (power - 6)) & 63);
    if (index < counts_.size()) ++counts_[index];
    ++total_;
  }
  double Percentile(double percent) const {
    uint64_t rank = static_cast<uint64_t>(static_cast<double>(total_) * percent / 100), seen = 0;
    for (size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > rank)
        return static_cast<double>((64 + i % 64)) * static_cast<double>(1ull << (i / 64)) / 64e3;
    }
    return 0;
  }
  void Clear() {
    std::fill(counts_.begin(), counts_.end(), 0);
    total_ = 0;
  }

 private:
  std::vector<uint64_t> counts_ = std::vector<uint64_t>(64 * 40);
  uint64_t total_ = 0;
};

// A warm-up, then the time that counts. Poll() every now and then.
class Measurement {
 public:
  Measurement(int server, double seconds) : server_(server), seconds_(seconds), begin_(Now()) {}

  // False when the time is over. `operations` and `bad` so far; called with a fresh clock.
  bool Poll(double now, uint64_t operations) {
    if (!counting_) {
      if (now - begin_ < kWarmUp) return true;
      counting_ = true;
      latencies.Clear();
      begin_ = now;
      first_ = operations;
      server_cpu_ = CpuOf(server_);
      own_cpu_ = OwnCpu();
      machine_cpu_ = MachineCpu();
      idle = 0;
      return true;
    }
    if (now - begin_ < seconds_) return true;
    double elapsed = now - begin_;
    double server = CpuOf(server_) - server_cpu_, own = OwnCpu() - own_cpu_;
    double others = MachineCpu() - machine_cpu_ - server - own;
    printf(
        "{\"operations\":%llu,\"seconds\":%.6f,\"serverCpu\":%.6f,\"clientCpu\":%.6f,"
        "\"machineCpu\":%.6f,\"othersCpu\":%.6f,\"p50\":%.2f,\"p99\":%.2f,\"bad\":%llu,\"lost\":%llu}"
        "\n",
        static_cast<unsigned long long>(operations - first_), elapsed, server, own - idle,
        MachineCpu() - machine_cpu_, others, latencies.Percentile(50), latencies.Percentile(99),
        static_cast<unsigned long long>(bad), static_cast<unsigned long long>(lost));
    return false;
  }

  Latencies latencies;
  double idle = 0;    // CPU seconds that the client has spent waiting busily
  uint64_t bad = 0;   // answers that were not the expected ones
  uint64_t lost = 0;  // answers that have not come

 private:
  static constexpr double kWarmUp = 0.2;
  int server_;
  double seconds_, begin_;
  bool counting_ = false;
  uint64_t first_ = 0;
  double server_cpu_ = 0, own_cpu_ = 0, machine_cpu_ = 0;
};

}  // namespace bench
