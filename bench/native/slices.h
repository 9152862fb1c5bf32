// The slices of a load client. The client keeps its connections. It reads from standard input how
// many seconds to send requests for, and prints a line of JSON for each such slice.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <algorithm>
#include <vector>

#include "machine.h"

namespace bench {

// A histogram of 1 to about 10^6 microseconds, exact to 1.6 %: 64 steps per power of two.
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

// A slice begins with a warm-up, in which the CPU's caches fill again for this server. Then comes
// the time that counts. A client calls Asking() in its loop and sends requests while that is true.
// Then it receives the outstanding answers and calls Print().
class Slices {
 public:
  // If `cpu` is not -1, that CPU works for this server alone, and all of its work is the server's
  // CPU time. Otherwise this is the time of the server's processes, without the kernel's work in
  // threads of its own and in interrupts of an idle CPU.
  explicit Slices(pid_t server, int cpu = -1) : server_(server), cpu_(cpu) {}

  // Waits for the next slice. False at the end of standard input.
  bool Next() {
    if (scanf("%lf", &seconds_) != 1) return false;
    tree_ = ProcessTree(server_);
    phase_ = Phase::kWarmUp;
    begin_ = Now();
    idle = 0;
    bad = lost = 0;
    return true;
  }

  // Whether to send requests. `operations`: of all slices so far.
  bool Asking(double now, uint64_t operations) {
    if (phase_ == Phase::kOver) return false;
    if (phase_ == Phase::kWarmUp) {
      if (now - begin_ < seconds_ * kWarmUp) return true;
      phase_ = Phase::kCounting;
      latencies.Clear();
      idle = 0;
      machine_.Begin(tree_);
      switches_ = tree_.Switches();
      operations_ = operations;
      begin_ = Now();
      server_cpu_ = ServerCpu();
      own_cpu_ = Seconds(CLOCK_PROCESS_CPUTIME_ID);
      return true;
    }
    if (now - begin_ < seconds_) return true;
    elapsed_ = Now() - begin_;
    server_cpu_ = ServerCpu() - server_cpu_;
    own_cpu_ = Seconds(CLOCK_PROCESS_CPUTIME_ID) - own_cpu_;
    idle_ = idle;
    operations_ = operations - operations_;
    p50_ = latencies.Percentile(50);
    p99_ = latencies.Percentile(99);
    switches_ = tree_.Switches() - switches_;
    machine_.End(tree_);
    phase_ = Phase::kOver;
    return false;
  }

  void Print() const {
    printf(
        "{\"operations\":%llu,\"seconds\":%.6f,\"serverCpu\":%.6f,\"clientCpu\":%.6f,"
        "\"idleCpu\":%.6f,\"othersCpu\":%.6f,\"stolen\":%.6f,\"forks\":%llu,\"p50\":%.2f,"
        "\"p99\":%.2f,\"bad\":%llu,\"lost\":%llu,\"switches\":%llu}\n",
        static_cast<unsigned long long>(operations_), elapsed_, server_cpu_, own_cpu_, idle_,
        machine_.others, machine_.stolen, static_cast<unsigned long long>(machine_.forks), p50_,
        p99_, static_cast<unsigned long long>(bad), static_cast<unsigned long long>(lost),
        static_cast<unsigned long long>(switches_));
    fflush(stdout);
  }

  Latencies latencies;
  double idle = 0;    // CPU seconds that the client has spent waiting busily
  uint64_t bad = 0;   // answers that were not the expected ones
  uint64_t lost = 0;  // answers that have not arrived

 private:
  enum class Phase { kWarmUp, kCounting, kOver };
  static constexpr double kWarmUp = 0.2;  // share of the time that counts

  double ServerCpu() const { return cpu_ < 0 ? tree_.Cpu() : Now() - IdleOf(cpu_); }

  pid_t server_;
  int cpu_;
  ProcessTree tree_{0};
  Phase phase_ = Phase::kOver;
  double seconds_ = 0, begin_ = 0, elapsed_ = 0;
  // First the values at the beginning, then what the slice has added to them.
  uint64_t operations_ = 0, switches_ = 0;
  double server_cpu_ = 0, own_cpu_ = 0, idle_ = 0, p50_ = 0, p99_ = 0;
  Machine machine_;
};

}  // namespace bench
