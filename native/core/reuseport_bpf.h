// Classic BPF programs that choose the listener of a Linux SO_REUSEPORT group
// (SO_ATTACH_REUSEPORT_CBPF, socket(7)). Pure functions, without system calls.
#pragma once

#include <stdint.h>

#include <vector>

#include "core/rss_config.h"

namespace rss {

struct BpfInstruction {  // the layout of struct sock_filter (linux/filter.h)
  uint16_t code;
  uint8_t jump_true;
  uint8_t jump_false;
  uint32_t k;
};
using BpfProgram = std::vector<BpfInstruction>;

// Toeplitz hash and indirection table in the kernel: returns bucket_to_listener[hash & mask].
// Each needed bit of the hash is the parity of the input under a mask of key bits, so only
// config.bits of the 32 are computed; straight line, at most about 1,200 instructions.
BpfProgram ToeplitzProgram(const RssConfig& config, bool with_ports,
                           const std::vector<int>& bucket_to_listener);

// Returns cpu_to_listener[CPU that processes the packet]; CPUs past the table's end take its last.
BpfProgram CpuProgram(const std::vector<int>& cpu_to_listener);

}  // namespace rss
