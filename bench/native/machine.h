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

// Calls `visit` with every line of a file of /proc.
template <typename Visit>
void ForEachLine(const std::string& path, Visit visit) {
  FILE* file = fopen(path.c_str(), "r");
  if (file == nullptr) return;
  char line[4096];
  while (fgets(line, sizeof line, file) != nullptr) visit(line);
  fclose(file);
}

// Converts the kernel's clock ticks to seconds.
inline double SecondsOf(unsigned long long ticks) {
  return static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
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

  // Involuntary context switches of all threads that are alive.
  uint64_t Switches() const {
    uint64_t switches = 0;
    for (pid_t pid : pids_) {
      std::string tasks = "/proc/" + std::to_string(pid) + "/task";
      ForEachNumber(tasks.c_str(), [&](int thread) {
        ForEachLine(tasks + "/" + std::to_string(thread) + "/status", [&](const char* line) {
          unsigned long long count;
          if (sscanf(line, "nonvoluntary_ctxt_switches: %llu", &count) == 1) switches += count;
        });
      });
    }
    return switches;
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

// The name of a program that runs, at most 15 characters.
inline std::string NameOf(const std::string& process) {
  char name[32] = "";
  FILE* file = fopen(("/proc/" + process + "/comm").c_str(), "r");
  if (file == nullptr) return {};
  if (fgets(name, sizeof name, file) == nullptr) name[0] = '\0';
  fclose(file);
  return std::string(name, strcspn(name, "\n"));
}

// Seconds in which a CPU had nothing to do, in steps of 10 ms.
inline double IdleOf(int cpu) {
  double seconds = 0;
  ForEachLine("/proc/stat", [&](const char* line) {
    int found;
    unsigned long long idle, waiting;
    if (sscanf(line, "cpu%d %*u %*u %*u %llu %llu", &found, &idle, &waiting) == 3 && found == cpu)
      seconds = SecondsOf(idle + waiting);
  });
  return seconds;
}

// Work of the machine between Begin() and End(), except for that of a server and its load.
class Machine {
 public:
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
  // Leaves out the server, this program's processes, and the kernel's threads that serve the load.
  template <typename Visit>
  void ForEachOther(const ProcessTree& server, Visit visit) {
    ForEachNumber("/proc", [&](int pid) {
      if (!IsLoad(pid) && !server.Contains(pid)) visit(pid);
    });
  }

  bool IsLoad(pid_t pid) {
    auto known = is_load_.find(pid);
    if (known != is_load_.end()) return known->second;
    std::string name = NameOf(std::to_string(pid));
    return is_load_[pid] = name == own_name_ || name.compare(0, 9, "ksoftirqd") == 0;
  }

  void ReadStat() {
    ForEachLine("/proc/stat", [&](const char* line) {
      unsigned long long ticks, started;
      if (strncmp(line, "cpu ", 4) == 0 &&
          sscanf(line, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &ticks) == 1)
        stolen = SecondsOf(ticks);
      if (sscanf(line, "processes %llu", &started) == 1) forks = started;
    });
  }

  const std::string own_name_ = NameOf("self");
  std::unordered_map<pid_t, bool> is_load_;
  std::unordered_map<pid_t, double> before_;
};

}  // namespace bench
