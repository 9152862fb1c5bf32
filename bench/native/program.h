// Shared by the programs of the bench: name=value arguments, failing, and pinning to a CPU.
#pragma once

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

// name=value arguments. An unknown name is an error.
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

inline void PinTo(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) Fail("sched_setaffinity");
}

}  // namespace bench
