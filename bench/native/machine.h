// CPU time of processes with the resolution of nanoseconds, and of other work (Linux: /proc).
#pragma once

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace bench {

inline double Seconds(clockid_t clock) {
  timespec t;
  if (clock_gettime(clock, &t) != 0) return 0;
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

inline double Now() {
  return Seconds(CLOCK_MONOTONIC);
}

// CPU seconds of a process, including threads that have ended; 0 if there is no such process.
inline double CpuOf(pid_t pid) {
  clockid_t clock;
  return clock_getcpuclockid(pid, &clock) == 0 ? Seconds(clock) : 0;
}

// Calls `visit` with the name of every entry of a folder of /proc that is a number.
template <typename Visit>
void ForEachNumber(const char* folder, Visit visit) {
  DIR* directory = opendir(folder);
  if (directory == nullptr) return;
  while (dirent* entry = readdir(directory))
    if (int number = atoi(entry->d_name); number > 0) visit(number);
  closedir(directory);
}

// A process and its descendants.
class ProcessTree {
 public:
  explicit ProcessTree(pid_t root) { Add(root); }

  bool Contains(pid_t pid) const {
    return std::find(pids_.begin(), pids_.end(), pid) != pids_.end();
  }

  double Cpu() const {
    double seconds = 0;
    for (pid_t pid : pids_) seconds += CpuOf(pid);
    return seconds;
  }

 private:
  void Add(pid_t pid) {
    if (pid <= 0) return;
    pids_.push_back(pid);
    std::string tasks = "/proc/" + std::to_string(pid) + "/task";
    ForEachNumber(tasks.c_str(), [&](int thread) {
      std::string path = tasks + "/" + std::to_string(thread) + "/children";
      FILE* file = fopen(path.c_str(), "r");
      if (file == nullptr) return;
      for (int child; fscanf(file, "%d", &child) == 1;) Add(child);
      fclose(file);
    });
  }

  std::vector<pid_t> pids_;
};

// Work of the machine between Begin() and End(), except for that of a server and this process.
class Machine {
 public:
  Machine() {
    ForEachNumber("/proc", [&](int pid) {
      char name[16] = "";
      FILE* file = fopen(("/proc/" + std::to_string(pid) + "/comm").c_str(), "r");
      if (file == nullptr) return;
      if (fgets(name, sizeof name, file) != nullptr && strncmp(name, "ksoftirqd", 9) == 0)
        network_.insert(pid);
      fclose(file);
    });
  }

  void Begin(const ProcessTree& server) {
    before_.clear();
    ForEachOther(server, [&](pid_t pid) { before_[pid] = CpuOf(pid); });
    ReadStat();
  }

  void End(const ProcessTree& server) {
    others = 0;
    ForEachOther(server, [&](pid_t pid) {
      auto found = before_.find(pid);
      others += CpuOf(pid) - (found == before_.end() ? 0 : found->second);
    });
    double stolen_before = stolen;
    uint64_t forks_before = forks;
    ReadStat();
    stolen -= stolen_before;
    forks -= forks_before;
  }

  double others = 0;   // CPU seconds of other processes that are alive at the end
  double stolen = 0;   // seconds taken by the hypervisor, in steps of 10 ms
  uint64_t forks = 0;  // processes and threads that were started

 private:
  // Leaves out the server, this process, and the kernel's threads that serve the load.
  template <typename Visit>
  void ForEachOther(const ProcessTree& server, Visit visit) {
    ForEachNumber("/proc", [&](int pid) {
      if (pid != getpid() && network_.count(pid) == 0 && !server.Contains(pid)) visit(pid);
    });
  }

  void ReadStat() {
    FILE* file = fopen("/proc/stat", "r");
    if (file == nullptr) return;
    unsigned long long ticks = 0, started = 0;
    if (fscanf(file, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &ticks) == 1)
      stolen = static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
    char line[4096];
    while (fgets(line, sizeof line, file) != nullptr)
      if (sscanf(line, "processes %llu", &started) == 1) forks = started;
    fclose(file);
  }

  // The kernel's threads that process packets.
  std::unordered_set<pid_t> network_;
  std::unordered_map<pid_t, double> before_;
};

}  // namespace bench
