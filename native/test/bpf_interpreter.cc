#include "test/bpf_interpreter.h"

namespace rss_test {
namespace {

constexpr uint32_t kNet = 0xfff00000u, kAncillary = 0xfffff000u;

bool Load(const BpfPacket& packet, uint32_t offset, size_t size, uint32_t* out) {
  if (offset == kAncillary) return *out = packet.ethertype, true;
  if (offset == kAncillary + 36) return *out = packet.cpu, true;
  uint32_t at = offset - kNet;
  if (at > packet.size || packet.size - at < size) return false;
  *out = 0;
  for (size_t i = 0; i < size; ++i) *out = *out << 8 | packet.network[at + i];
  return true;
}

}  // namespace

int64_t RunBpf(const rss::BpfProgram& program, const BpfPacket& packet) {
  uint32_t a = 0, x = 0, memory[16] = {};
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const rss::BpfInstruction& in = program[pc];
    uint32_t k = in.k;
    switch (in.code) {
      case 0x20:
        if (!Load(packet, k, 4, &a)) return -1;
        break;  // ld [k]
      case 0x30:
        if (!Load(packet, k, 1, &a)) return -1;
        break;  // ldb [k]
      case 0x40:
        if (!Load(packet, k + x, 4, &a)) return -1;
        break;  // ld [x + k]
      case 0x50:
        if (!Load(packet, k + x, 1, &a)) return -1;
        break;  // ldb [x + k]
      case 0xb1:
        if (!Load(packet, k, 1, &x)) return -1;
        x = (x & 15) * 4;
        break;  // ldx 4*([k]&0xf)
      case 0x00:
        a = k;
        break;  // ld #k
      case 0x01:
        x = k;
        break;  // ldx #k
      case 0x60:
        if (k > 15) return -1;
        a = memory[k];
        break;  // ld M[k]
      case 0x61:
        if (k > 15) return -1;
        x = memory[k];
        break;  // ldx M[k]
      case 0x02:
        if (k > 15) return -1;
        memory[k] = a;
        break;  // st M[k]
      case 0x07:
        x = a;
        break;  // tax
      case 0x04:
        a += k;
        break;
      case 0x0c:
        a += x;
        break;
      case 0x54:
        a &= k;
        break;
      case 0xac:
        a ^= x;
        break;
      case 0x4c:
        a |= x;
        break;
      case 0x64:
        a <<= k;
        break;
      case 0x74:
        a >>= k;
        break;
      case 0x7c:
        a = x < 32 ? a >> x : 0;
        break;
      case 0x94:
        if (k == 0) return -1;
        a %= k;
        break;
      case 0x05:
        pc += k;
        break;
      case 0x15:
        pc += a == k ? in.jump_true : in.jump_false;
        break;
      case 0x35:
        pc += a >= k ? in.jump_true : in.jump_false;
        break;
      case 0x06:
        return k;
      case 0x16:
        return a;
      default:
        return -1;
    }
  }
  return -1;
}

}  // namespace rss_test
