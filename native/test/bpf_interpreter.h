// A classic BPF machine in user space, for the instructions that steering programs use.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/reuseport_bpf.h"

namespace rss_test {

struct BpfPacket {
  uint32_t ethertype = 0;            // SKF_AD_PROTOCOL
  uint32_t cpu = 0;                  // SKF_AD_CPU
  const uint8_t* network = nullptr;  // SKF_NET_OFF: the IP header on
  size_t size = 0;
};

// What the program returns. -1: it read outside the packet, jumped outside itself, or used an
// unknown instruction.
int64_t RunBpf(const rss::BpfProgram& program, const BpfPacket& packet);

}  // namespace rss_test
