#include "core/reuseport_bpf.h"

#include <iterator>

namespace rss {
namespace {

// Instruction codes and offsets of linux/bpf_common.h and linux/filter.h, spelt out so that the
// generator compiles and is tested everywhere.
constexpr uint16_t kLoadWord = 0x20, kLoadByte = 0x30, kLoadWordIndirect = 0x40,
                   kLoadByteIndirect = 0x50, kLoadImmediate = 0x00, kLoadScratch = 0x60,
                   kLoadXImmediate = 0x01, kLoadXScratch = 0x61, kLoadXHeaderLength = 0xb1,
                   kStore = 0x02, kAnd = 0x54, kXorX = 0xac, kOrX = 0x4c, kAdd = 0x04, kAddX = 0x0c,
                   kShiftRight = 0x74, kShiftRightX = 0x7c, kShiftLeft = 0x64, kModulo = 0x94,
                   kCopyAToX = 0x07, kJump = 0x05, kJumpEqual = 0x15, kJumpGreaterEqual = 0x35,
                   kReturn = 0x06, kReturnA = 0x16;
constexpr uint32_t kNet = 0xfff00000u;       // SKF_NET_OFF
constexpr uint32_t kProtocol = 0xfffff000u;  // SKF_AD_OFF + SKF_AD_PROTOCOL
constexpr uint32_t kCpu = 0xfffff000u + 36;  // SKF_AD_OFF + SKF_AD_CPU
constexpr uint32_t kEthertypeIpv4 = 0x0800;
constexpr uint32_t kResult = 15;  // scratch word that collects the hash bits
constexpr uint32_t kNext = 14;    // scratch word for the type of the next IPv6 header

constexpr uint32_t kIpv6Header = 40;  // its length
constexpr uint32_t kTcp = 6, kUdp = 17;
// Hop-by-hop options, routing, fragment and destination options. Their second byte is the length in
// units of 8 bytes, without the first 8; in a fragment header it is 0. A packet with a fragment
// header is whole here: the kernel has put it together, or it was a single fragment.
constexpr uint32_t kExtensionHeaders[] = {0, 43, 44, 60};
// Behind more of them the ports are not looked for.
constexpr int kMostExtensionHeaders = 4;

void Emit(BpfProgram* program, uint16_t code, uint32_t k = 0) {
  program->push_back({code, 0, 0, k});
}

void Append(BpfProgram* program, const BpfProgram& tail) {
  program->insert(program->end(), tail.begin(), tail.end());
}

// Scratch words 0.. = source address, destination address[, ports]. Returns how many.
size_t LoadIpv4(BpfProgram* program, bool with_ports) {
  Emit(program, kLoadWord, kNet + 12);
  Emit(program, kStore, 0);
  Emit(program, kLoadWord, kNet + 16);
  Emit(program, kStore, 1);
  if (!with_ports) return 2;
  Emit(program, kLoadXHeaderLength, kNet);
  Emit(program, kLoadWordIndirect, kNet);
  Emit(program, kStore, 2);
  return 3;
}

// Passes an extension header at offset X: A = the type of the next header, X = its offset.
BpfProgram PassExtensionHeader() {
  BpfProgram program;
  Emit(&program, kLoadByteIndirect, kNet + kIpv6Header);
  Emit(&program, kStore, kNext);
  Emit(&program, kLoadByteIndirect, kNet + kIpv6Header + 1);
  Emit(&program, kAdd, 1);
  Emit(&program, kShiftLeft, 3);
  Emit(&program, kAddX);
  Emit(&program, kCopyAToX);
  Emit(&program, kLoadScratch, kNext);
  return program;
}

// A = the ports behind the extension headers of an IPv6 packet. Where there are none, A = 0, which
// leaves the hash of the addresses. Jumps lead forwards, so it is made from its end.
BpfProgram FindIpv6Ports() {
  BpfProgram rest;
  Emit(&rest, kLoadImmediate, 0);
  Emit(&rest, kJump, 1);
  Emit(&rest, kLoadWordIndirect, kNet + kIpv6Header);
  size_t none = 0, found = 2;  // where that is in `rest`
  BpfProgram pass = PassExtensionHeader();
  for (int headers = 0; headers <= kMostExtensionHeaders; ++headers) {
    BpfProgram step;
    size_t types = headers == 0 ? 0 : std::size(kExtensionHeaders);
    size_t passed = types == 0 ? 0 : pass.size();
    size_t size = 2 + types + 1 + passed;
    auto to = [&](size_t target) { return static_cast<uint8_t>(target - step.size() - 1); };
    for (uint32_t type : {kTcp, kUdp}) step.push_back({kJumpEqual, to(size + found), 0, type});
    for (size_t i = 0; i < types; ++i)
      step.push_back({kJumpEqual, to(size - passed), 0, kExtensionHeaders[i]});
    Emit(&step, kJump, to(size + none));
    if (types > 0) Append(&step, pass);
    Append(&step, rest);
    rest = std::move(step);
    none += size;
    found += size;
  }
  BpfProgram program;
  Emit(&program, kLoadXImmediate, 0);
  Emit(&program, kLoadByte, kNet + 6);
  Append(&program, rest);
  return program;
}

size_t LoadIpv6(BpfProgram* program, bool with_ports) {
  for (uint32_t word = 0; word < 8; ++word) {
    Emit(program, kLoadWord, kNet + 8 + 4 * word);
    Emit(program, kStore, word);
  }
  if (!with_ports) return 8;
  Append(program, FindIpv6Ports());
  Emit(program, kStore, 8);
  return 9;
}

// The input bits that decide bit `out` of the hash, for input word `word`.
uint32_t ParityMask(const RssKey& key, size_t word, int out) {
  uint32_t mask = 0;
  for (size_t bit = 0; bit < 32; ++bit)
    if (KeyWindow(key.data(), key.size(), word * 32 + bit) >> out & 1) mask |= 0x80000000u >> bit;
  return mask;
}

void EmitHashBits(BpfProgram* program, const RssKey& key, size_t words, int bits) {
  Emit(program, kLoadImmediate, 0);
  Emit(program, kStore, kResult);
  for (int out = 0; out < bits; ++out) {
    for (size_t word = 0; word < words; ++word) {
      if (word > 0) Emit(program, kCopyAToX);
      Emit(program, kLoadScratch, static_cast<uint32_t>(word));
      Emit(program, kAnd, ParityMask(key, word, out));
      if (word > 0) Emit(program, kXorX);
    }
    for (uint32_t shift = 16; shift >= 4; shift >>= 1) {
      Emit(program, kCopyAToX);
      Emit(program, kShiftRight, shift);
      Emit(program, kXorX);
    }
    Emit(program, kAnd, 15);  // parity of four bits: bit A of 0x6996
    Emit(program, kCopyAToX);
    Emit(program, kLoadImmediate, 0x6996);
    Emit(program, kShiftRightX);
    Emit(program, kAnd, 1);
    if (out > 0) Emit(program, kShiftLeft, static_cast<uint32_t>(out));
    Emit(program, kLoadXScratch, kResult);
    Emit(program, kOrX);
    Emit(program, kStore, kResult);
  }
  Emit(program, kLoadScratch, kResult);
}

// Binary search over table[first, last) for the index in A; equal neighbours share a leaf.
BpfProgram SearchTree(const std::vector<int>& table, size_t first, size_t last) {
  BpfProgram program;
  bool same = true;
  for (size_t i = first + 1; i < last; ++i) same = same && table[i] == table[first];
  if (same) {
    Emit(&program, kReturn, static_cast<uint32_t>(table[first]));
    return program;
  }
  size_t middle = (first + last) / 2;
  BpfProgram low = SearchTree(table, first, middle), high = SearchTree(table, middle, last);
  uint32_t skip = static_cast<uint32_t>(low.size());
  if (skip < 256) {
    program.push_back(
        {kJumpGreaterEqual, static_cast<uint8_t>(skip), 0, static_cast<uint32_t>(middle)});
  } else {  // conditional jumps reach 255 instructions
    program.push_back({kJumpGreaterEqual, 0, 1, static_cast<uint32_t>(middle)});
    Emit(&program, kJump, skip);
  }
  Append(&program, low);
  Append(&program, high);
  return program;
}

void EmitTable(BpfProgram* program, const std::vector<int>& table) {
  size_t listeners = 0;
  for (int listener : table)
    if (static_cast<size_t>(listener) + 1 > listeners) listeners = listener + 1;
  bool identity = listeners == table.size(), modulo = true;
  for (size_t i = 0; i < table.size(); ++i) {
    identity = identity && static_cast<size_t>(table[i]) == i;
    modulo = modulo && static_cast<size_t>(table[i]) == i % listeners;
  }
  if (identity || modulo) {
    if (!identity) Emit(program, kModulo, static_cast<uint32_t>(listeners));
    Emit(program, kReturnA);
    return;
  }
  Append(program, SearchTree(table, 0, table.size()));
}

}  // namespace

BpfProgram ToeplitzProgram(const RssConfig& config, bool with_ports,
                           const std::vector<int>& bucket_to_listener) {
  BpfProgram v4, v6, program;
  size_t words = LoadIpv4(&v4, with_ports);
  EmitHashBits(&v4, config.key, words, config.bits);
  EmitTable(&v4, bucket_to_listener);
  words = LoadIpv6(&v6, with_ports);
  EmitHashBits(&v6, config.key, words, config.bits);
  EmitTable(&v6, bucket_to_listener);

  Emit(&program, kLoadWord, kProtocol);
  program.push_back({kJumpEqual, 1, 0, kEthertypeIpv4});
  Emit(&program, kJump, static_cast<uint32_t>(v4.size()));
  Append(&program, v4);
  Append(&program, v6);
  return program;
}

BpfProgram CpuProgram(const std::vector<int>& cpu_to_listener) {
  BpfProgram program;
  Emit(&program, kLoadWord, kCpu);
  Append(&program, SearchTree(cpu_to_listener, 0, cpu_to_listener.size()));
  return program;
}

}  // namespace rss
