// Steering programs against software Toeplitz, for random keys, tables and packets.
#include <string.h>

#include <algorithm>
#include <random>

#include "core/reuseport_bpf.h"
#include "test/bpf_interpreter.h"
#include "test/check.h"

namespace rss_test {
namespace {

using namespace rss;

struct Packet {
  std::vector<uint8_t> bytes;
  uint8_t tuple[kMaxTupleSize];
  size_t tuple_size;
  uint32_t ethertype;
};

// Puts extension headers of random types and lengths in front of the ports. False when the program
// does not find the ports behind them: the addresses are hashed.
bool Extend(std::mt19937& random, std::vector<uint8_t>* packet) {
  constexpr uint8_t kTypes[] = {0, 43, 44, 60};
  constexpr uint8_t kAuthentication = 51;
  size_t headers = 1 + random() % 5;
  bool known = headers <= 4;
  size_t type_at = 6;
  uint8_t transport = (*packet)[type_at];
  for (size_t i = 0; i < headers; ++i) {
    uint8_t type = random() % 16 == 0 ? kAuthentication : kTypes[random() % 4];
    if (type == kAuthentication) known = false;
    size_t units = type == 44 ? 0 : random() % 4;
    std::vector<uint8_t> header(8 * (units + 1), 0xff);
    header[1] = static_cast<uint8_t>(units);
    (*packet)[type_at] = type;
    type_at = packet->size() - 8;
    packet->insert(packet->end() - 8, header.begin(), header.end());
  }
  (*packet)[type_at] = transport;
  return known;
}

// An IPv4 packet, with IP options at random, or an IPv6 packet, with extension headers at random.
// The transport header is just its ports.
Packet RandomPacket(std::mt19937& random, bool v4, bool with_ports, bool plain) {
  Packet p;
  size_t addresses = v4 ? 8 : 32;
  for (size_t i = 0; i < addresses + 4; ++i) p.tuple[i] = static_cast<uint8_t>(random());
  p.tuple_size = with_ports ? addresses + 4 : addresses;
  p.ethertype = v4 ? 0x0800 : 0x86dd;
  if (v4) {
    size_t words = plain ? 5 : 5 + random() % 11;
    p.bytes.assign(words * 4 + 4, 0);
    p.bytes[0] = static_cast<uint8_t>(0x40 | words);
    memcpy(&p.bytes[12], p.tuple, 8);
    memcpy(&p.bytes[words * 4], p.tuple + 8, 4);
    return p;
  }
  bool extended = !plain && random() % 4 == 0;
  p.bytes.assign(40 + 8, 0);
  p.bytes[6] = random() % 2 == 0 ? 6 : 17;
  memcpy(&p.bytes[8], p.tuple, 32);
  memcpy(&p.bytes[40], p.tuple + 32, 4);
  if (extended && !Extend(random, &p.bytes)) p.tuple_size = 32;
  return p;
}

void TestProgram(std::mt19937& random, int bits, const char* shape) {
  RssConfig config = VirtualRssConfig({0}, bits, "");
  for (auto& byte : config.key) byte = static_cast<uint8_t>(random());
  std::vector<int> table(config.buckets());
  for (size_t i = 0; i < table.size(); ++i)
    table[i] = shape[0] == 'i'   ? static_cast<int>(i)
               : shape[0] == 'm' ? static_cast<int>(i % 3)
                                 : static_cast<int>(random() % 7);
  RssHasher hasher(config.key);
  for (bool with_ports : {false, true}) {
    BpfProgram program = ToeplitzProgram(config, with_ports, table);
    int wrong = 0;
    for (int i = 0; i < 2000; ++i) {
      Packet p = RandomPacket(random, i % 2 == 0, with_ports, false);
      int expected = table[config.BucketOf(hasher.Hash(p.tuple, p.tuple_size))];
      BpfPacket packet{p.ethertype, 0, p.bytes.data(), p.bytes.size()};
      if (RunBpf(program, packet) != expected) ++wrong;
    }
    Check(wrong == 0 && program.size() <= 1200,
          std::string("bpf-toeplitz, ") + std::to_string(config.buckets()) + " buckets, " + shape +
              (with_ports ? ", 4-tuple: " : ", 2-tuple: ") + std::to_string(program.size()) +
              " instructions",
          std::to_string(wrong) + " of 2000 packets wrong");
  }
}

}  // namespace

void TestSteeringPrograms() {
  std::mt19937 random(20140517);
  for (int bits : {0, 1, 2, 3, 5, 7})
    for (const char* shape : {"identity", "modulo", "random table"})
      TestProgram(random, bits, shape);
  std::vector<int> cpus(300);
  for (auto& worker : cpus) worker = static_cast<int>(random() % 5);
  BpfProgram program = CpuProgram(cpus);
  bool right = true;
  for (uint32_t cpu = 0; cpu < 400; ++cpu) {
    BpfPacket packet;
    packet.cpu = cpu;
    right = right && RunBpf(program, packet) == cpus[std::min<uint32_t>(cpu, 299)];
  }
  Check(right, "bpf-cpu, 300 CPUs: " + std::to_string(program.size()) + " instructions");
}

}  // namespace rss_test
