// Pure functions: hashing, parsing, derivation, classification.
#include <string.h>

#include <random>

#include "core/byte_queue.h"
#include "core/connection_ids.h"
#include "core/epochs.h"
#include "core/flow_predictor.h"
#include "core/flow_samples.h"
#include "core/hash_type.h"
#include "test/check.h"

namespace rss_test {
namespace {

using namespace rss;

SocketAddress At(const char* host, uint16_t port) {
  return ParseAddress(host, port).value;
}

struct Vector {
  const char* source;
  uint16_t source_port;
  const char* destination;
  uint16_t destination_port;
  uint32_t two_tuple;
  uint32_t four_tuple;
};

// The Microsoft RSS verification suite, with its key, which is FreeBSD's default.
const Vector kVectors[] = {
    {"66.9.149.187", 2794, "161.142.100.80", 1766, 0x323e8fc2, 0x51ccc178},
    {"199.92.111.2", 14230, "65.69.140.83", 4739, 0xd718262a, 0xc626b0ea},
    {"24.19.198.95", 12898, "12.22.207.184", 38024, 0xd2d0a5de, 0x5c2b394a},
    {"38.27.205.30", 48228, "209.142.163.6", 2217, 0x82989176, 0xafc7327f},
    {"153.39.163.191", 44251, "202.188.127.2", 1303, 0x5d1809c5, 0x10e828a2},
    {"3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766, 0x2cc18cd5, 0x40207d3d},
    {"3ffe:501:8::260:97ff:fe40:efab", 14230, "ff02::1", 4739, 0x0f0c461c, 0xdde51bbf},
    {"3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, "fe80::200:f8ff:fe21:67cf", 38024, 0x4b61e985,
     0x02d1feef},
};

void TestToeplitz() {
  RssHasher hasher;
  for (const Vector& v : kVectors) {
    for (bool ports : {false, true}) {
      uint8_t tuple[kMaxTupleSize];
      size_t size = TupleBytes(At(v.source, v.source_port), At(v.destination, v.destination_port),
                               ports, tuple);
      uint32_t expected = ports ? v.four_tuple : v.two_tuple;
      std::string name = std::string(ports ? "toeplitz 4-tuple " : "toeplitz 2-tuple ") + v.source;
      Check(hasher.Hash(tuple, size) == expected &&
                ToeplitzHash(kDefaultKey.data(), kKeySize, tuple, size) == expected,
            name);
    }
  }
  std::mt19937 random(1);
  bool equal = true;
  for (int round = 0; round < 200; ++round) {
    RssKey key;
    for (auto& byte : key) byte = static_cast<uint8_t>(random());
    uint8_t data[kMaxTupleSize];
    for (auto& byte : data) byte = static_cast<uint8_t>(random());
    size_t size = random() % (kMaxTupleSize + 1);
    equal =
        equal && RssHasher(key).Hash(data, size) == ToeplitzHash(key.data(), kKeySize, data, size);
  }
  Check(equal, "toeplitz by table equals toeplitz by bit, 200 random keys");
  uint8_t data[] = {1, 2, 250};
  uint32_t sum = 0;
  for (uint8_t byte : kDefaultKey) sum += byte;
  Check(RssHasher(kDefaultKey, HashAlgorithm::kNaive).Hash(data, 3) == sum + 253, "naive hash");

  uint8_t mapped[kMaxTupleSize], plain[kMaxTupleSize];
  size_t size =
      TupleBytes(At("::ffff:66.9.149.187", 2794), At("::ffff:161.142.100.80", 1766), true, mapped);
  TupleBytes(At("66.9.149.187", 2794), At("161.142.100.80", 1766), true, plain);
  Check(size == 12 && memcmp(mapped, plain, 12) == 0, "v4-mapped addresses hash as IPv4");
  Check(TupleBytes(At("::1", 1), At("127.0.0.1", 1), true, mapped) == 0,
        "mixed families: no tuple");
}

void TestBucketMapping() {
  auto good = ParseBucketMapping("0:0 1:1 2:0 3:1", 4);
  Check(good.ok() && good.value == std::vector<int>({0, 1, 0, 1}), "bucket_mapping");
  Check(ParseBucketMapping("1:5 0:3", 2).value == std::vector<int>({3, 5}),
        "bucket_mapping in any order");
  std::string all;
  for (int i = 0; i < 128; ++i)
    all += (i == 0 ? "" : " ") + std::to_string(i) + ":" + std::to_string(i % 64);
  auto most = ParseBucketMapping(all, 128);
  Check(most.ok() && most.value.size() == 128 && most.value[127] == 63,
        "bucket_mapping, 128 buckets");
  const char* const wrong[] = {"",
                               "0",
                               "0:",
                               ":0",
                               "0:0 ",
                               " 0:0 1:1",
                               "0:0  1:1",
                               "0:0 0:1",
                               "0:0 2:1",
                               "0:0",
                               "0:0 1:1\n",
                               "0:0,1:1",
                               "0:0 1:-1",
                               "0:0 -1:1",
                               "0:0 1:1 2:0",
                               "0:0 1:x",
                               "0:0 1:1x",
                               "00:0 1:1",
                               "0x0:0 1:1",
                               "0:0 1:99999",
                               "0:0 1:1 ",
                               "0:0 1:4294967296"};
  for (const char* text : wrong) {
    auto result = ParseBucketMapping(text, 2);
    std::string quoted = std::string("\"") + text + "\"";
    Check(!result.ok() && result.failure.detail.find(quoted) != std::string::npos,
          "bucket_mapping refused and quoted: " + quoted, result.failure.detail);
  }
}

void TestVirtualConfig() {
  // cpus -> buckets, up to 64 as in rss_init() in sys/net/rss_config.c
  const int table[][2] = {{1, 1},    {2, 4},    {3, 8},    {4, 8},     {5, 16},
                          {8, 16},   {9, 32},   {16, 32},  {17, 64},   {32, 64},
                          {33, 128}, {64, 128}, {80, 128}, {128, 128}, {200, 128}};
  for (const auto& row : table) {
    CpuList cpus;
    for (int i = 0; i < row[0]; ++i) cpus.push_back(i);
    RssConfig config = VirtualRssConfig(cpus, -1, "");
    bool map = true;
    int used = row[0] < kMaxVirtualCpus ? row[0] : kMaxVirtualCpus;
    for (int bucket = 0; bucket < config.buckets(); ++bucket)
      map = map && config.bucket_to_cpu[bucket] == bucket % used;
    Check(config.buckets() == row[1] && map,
          "virtual configuration of " + std::to_string(row[0]) + " CPUs");
  }
  RssConfig config = VirtualRssConfig({4, 6, 300}, 3, "no sysctl");
  Check(!config.kernel && config.reason == "no sysctl" && config.buckets() == 8 &&
            config.bucket_to_cpu == std::vector<int>({4, 6, 300, 4, 6, 300, 4, 6}),
        "virtual configuration over CPUs 4, 6 and 300 with 8 buckets");
}

void TestCpuList() {
  auto cpus = ParseCpuList("0-3,8,300-302,2");
  Check(cpus.ok() && cpus.value == CpuList({0, 1, 2, 3, 8, 300, 301, 302}), "CPU list");
  Check(FormatCpuList({0, 1, 2, 3, 8, 300, 301}) == "0-3,8,300-301", "CPU list, formatted");
  for (const char* text : {"", ",", "1-", "-1", "3-1", "1,,2", "1,", "a", "0x1", "99999", "1 ,2"})
    Check(!ParseCpuList(text).ok(), std::string("CPU list refused: \"") + text + "\"");
  Check(Intersect({0, 2, 500}, {1, 2, 500, 501}) == CpuList({2, 500}), "CPU lists intersected");
}

void TestAddresses() {
  Check(At("127.0.0.1", 80).Host() == "127.0.0.1" && At("::1", 80).Host() == "::1" &&
            At("::1", 80).port() == 80,
        "addresses parsed and formatted");
  for (const char* text : {"", "localhost", "1.2.3", "1.2.3.4.5", "::g", "::1%nosuchif", "[::1]"})
    Check(!ParseAddress(text, 0).ok(), std::string("address refused: \"") + text + "\"");
  Check(At("::ffff:10.0.0.1", 5).Unmapped() == At("10.0.0.1", 5), "v4-mapped address unmapped");
  Check(At("10.0.0.1", 5) != At("10.0.0.1", 6) && At("10.0.0.1", 5) != At("10.0.0.2", 5),
        "addresses compared");
}

void TestClassification() {
  SocketAddress peer = At("66.9.149.187", 2794), local = At("161.142.100.80", 1766);
  RssConfig kernel = VirtualRssConfig({0, 1, 2, 3}, 3, "");
  kernel.kernel = true;
  FlowClassifier classifier(kernel), virtual_one(VirtualRssConfig({0, 1, 2, 3}, 3, ""));
  Flow flow = classifier.Classify(Transport::kTcp, {0x12345675, kHashTypeTcpIpv4}, peer, local);
  Check(flow.from_kernel && flow.bucket == 5 && flow.flow_id == 0x12345675,
        "a kernel hash decides the bucket");
  flow = classifier.Classify(Transport::kTcp, {0x12345675, kHashTypeTcpIpv4 | kHashTypeInner}, peer,
                             local);
  Check(flow.from_kernel && flow.bucket == 5, "an inner-header hash too");
  for (uint32_t type : {kHashTypeNone, kHashTypeOpaque, kHashTypeOpaqueHash, kHashTypeIpv6Ex,
                        kHashTypeTcpIpv6Ex, kHashTypeUdpIpv6Ex, kHashTypeUdpIpv4Ex, 7u}) {
    flow = classifier.Classify(Transport::kTcp, {0x12345675, type}, peer, local);
    Check(!flow.from_kernel && flow.flow_id == 0x51ccc178 && flow.bucket == 0,
          std::string("hash type ") + HashTypeName(type) + ": hashed in software");
  }
  flow = virtual_one.Classify(Transport::kTcp, {5, kHashTypeTcpIpv4}, peer, local);
  Check(!flow.from_kernel && flow.flow_id == 0x51ccc178 && flow.hash_type == kHashTypeTcpIpv4,
        "virtual buckets are always hashed in software");
  struct Row {
    const char* kernel;
    bool rss, udp_4tuple;
    Transport transport;
    KernelFlow said;  // IP_FLOWID and IP_FLOWTYPE, by option or message
    bool believed;
    uint32_t software_type;
  };
  constexpr uint32_t kId = 0x12345675;
  // 12.1, 14.0 and 15.0 as observed; 16 from its source.
  const Row rows[] = {
      {"12 and 14 GENERIC, a card that hashes",
       false,
       false,
       Transport::kTcp,
       {kId, kHashTypeTcpIpv4},
       false,
       kHashTypeTcpIpv4},
      {"12 and 14 RSS, hashed", true, false, Transport::kTcp, {kId, kHashTypeTcpIpv4}, true, 0},
      {"12 and 14 RSS, one netisr thread",
       true,
       false,
       Transport::kTcp,
       {0, kHashTypeNone},
       false,
       kHashTypeTcpIpv4},
      {"12 and 14 RSS, UDP", true, false, Transport::kUdp, {kId, kHashTypeIpv4}, true, 0},
      {"12 and 14 RSS, UDP with the sender's id",
       true,
       false,
       Transport::kUdp,
       {kId, kHashTypeNone},
       false,
       kHashTypeIpv4},
      {"12 and 14 RSS, UDP socket's counter",
       true,
       false,
       Transport::kUdp,
       {kId, kHashTypeOpaque},
       false,
       kHashTypeIpv4},
      {"14 and 15 RSS, UDP of an igb, one netisr thread",
       true,
       false,
       Transport::kUdp,
       {0x51ccc178, kHashTypeOpaque},  // the card's hash of addresses and ports
       false,
       kHashTypeIpv4},
      {"14 and 15 RSS, UDP of a vmxnet3, one netisr thread",
       true,
       false,
       Transport::kUdp,
       {0, kHashTypeNone},
       false,
       kHashTypeIpv4},
      {"14 and 15 RSS, TCP of a vtnet",
       true,
       false,
       Transport::kTcp,
       {3, kHashTypeOpaque},  // the queue's number
       false,
       kHashTypeTcpIpv4},
      {"14 and 15 RSS, an em 82574 with a key of its own",  // the kernel goes by that, too
       true,
       false,
       Transport::kTcp,
       {kId, kHashTypeTcpIpv4},
       true,
       0},
      {"16 RSS, udp_4tuple", true, true, Transport::kUdp, {kId, kHashTypeUdpIpv4}, true, 0},
      {"16 RSS, udp_4tuple, not hashed",
       true,
       true,
       Transport::kUdp,
       {0, kHashTypeNone},
       false,
       kHashTypeUdpIpv4},
      {"Linux", false, true, Transport::kUdp, {0, kHashTypeNone}, false, kHashTypeUdpIpv4},
  };
  for (const Row& row : rows) {
    RssConfig config = VirtualRssConfig({0, 1, 2, 3}, 3, "");
    config.kernel = row.rss;
    config.udp_4tuple = row.udp_4tuple;
    flow = FlowClassifier(config).Classify(row.transport, row.said, peer, local);
    uint32_t id = row.believed ? kId : row.software_type == kHashTypeIpv4 ? 0x323e8fc2 : 0x51ccc178;
    Check(flow.from_kernel == row.believed && flow.flow_id == id &&
              flow.hash_type == (row.believed ? row.said.hash_type : row.software_type) &&
              flow.bucket == static_cast<int>(id & 7),
          std::string(row.kernel) + (row.believed ? ": believed" : ": hashed in software"));
  }
  flow = classifier.Hash(Transport::kUdp, peer, local);
  Check(flow.flow_id == 0x323e8fc2 && flow.hash_type == kHashTypeIpv4, "UDP by 2-tuple");
  RssConfig four = VirtualRssConfig({0}, 3, "");
  four.udp_4tuple = true;
  flow = FlowClassifier(four).Hash(Transport::kUdp, peer, local);
  Check(flow.flow_id == 0x51ccc178 && flow.hash_type == kHashTypeUdpIpv4, "UDP by 4-tuple");
  Check(std::string(HashTypeName(130 | 0x40)) == "tcp-ipv4" &&
            std::string(HashTypeName(63)) == "opaque" &&
            std::string(HashTypeName(191)) == "opaque-hash" &&
            std::string(HashTypeName(9)) == "unknown",
        "hash type names");
}

uint32_t HashBy(const RssKey& key, const SocketAddress& peer, const SocketAddress& local) {
  uint8_t tuple[kMaxTupleSize];
  return RssHasher(key).Hash(tuple, TupleBytes(peer, local, true, tuple));
}

// Buckets of network cards, on a kernel without options RSS. igb, em and vtnet as observed.
void TestCards() {
  SocketAddress peer = At("66.9.149.187", 2794), local = At("161.142.100.80", 1766);
  constexpr uint32_t kId = 0x12345675;
  constexpr int kSoftware = -1;
  const CardLayout table{{}, 0, 128, {}, {}}, threads{{}, 0, 3, {}, {}},
      queues{{}, 0, 3, {0, 1, 2}, {}}, half{{}, 0, 128, {0, -1, 2}, {}};
  struct Row {
    const char* card;
    CardLayout layout;
    KernelFlow said;
    int bucket;
  };
  const Row rows[] = {
      {"igb, TCP", table, {kId, kHashTypeTcpIpv4}, 0x75},
      {"igb, TCP, inner headers", table, {kId, kHashTypeTcpIpv4 | kHashTypeInner}, 0x75},
      {"igb, UDP", table, {kId, kHashTypeOpaque}, 0x75},
      {"em, UDP over IPv6", table, {kId, kHashTypeIpv6Ex}, 0x75},
      {"igb, no id", table, {kId, kHashTypeNone}, kSoftware},
      {"igb, queued to three netisr threads", threads, {kId, kHashTypeTcpIpv4}, kId % 3},
      {"vtnet, three queues", queues, {2, kHashTypeOpaque}, 2},
      {"vtnet, no such queue", queues, {3, kHashTypeOpaque}, kSoftware},
      {"mlx5, a queue that is not used", half, {1, kHashTypeOpaque}, kSoftware},
      {"mlx5, a hash", half, {kId, kHashTypeTcpIpv4}, 0x75},
  };
  for (const Row& row : rows) {
    RssConfig config = VirtualRssConfig({0, 1, 2, 3}, 3, "");
    config.cards = {row.layout};
    config.bucket_to_cpu.assign(static_cast<size_t>(row.layout.buckets), 0);
    FlowClassifier classifier(config);
    Flow flow = classifier.Classify(Transport::kTcp, row.said, peer, local);
    bool believed = row.bucket != kSoftware;
    int software = static_cast<int>(0x51ccc178u % static_cast<uint32_t>(row.layout.buckets));
    Check(flow.from_kernel == believed && flow.bucket == (believed ? row.bucket : software),
          std::string("card: ") + row.card);
    classifier.IgnoreIds();
    flow = classifier.Classify(Transport::kTcp, row.said, peer, local);
    Check(!flow.from_kernel && flow.bucket == software,
          std::string("card, ids ignored: ") + row.card);
  }

  RssConfig config = VirtualRssConfig({0, 1, 2, 3}, 3, "");
  config.cards = {table};
  FlowClassifier classifier(config);
  FlowPredictor predictor(classifier);
  auto predicted = [&] { return predictor.Predict(Transport::kTcp, peer, local).flow_id; };
  Check(predicted() == 0x51ccc178 && predictor.Trusts(Transport::kTcp, local),
        "card: predictions by the default key until its own is known");
  RssKey key = kDefaultKey;
  key[0] ^= 0x80;
  predictor.SetCardKey(At("161.142.100.80", 9), key, false);
  predictor.SetCardKey(At("10.0.0.1", 9), kDefaultKey, false);
  Check(predicted() == HashBy(key, peer, local) &&
            classifier.Hash(Transport::kTcp, peer, local).flow_id == 0x51ccc178,
        "card: predictions by its key, flows without an id by the default key");
  Flow flow = classifier.Classify(Transport::kTcp, {kId, kHashTypeTcpIpv4}, peer, local);
  Check(predictor.Check(Transport::kTcp, flow, peer, local) &&
            predictor.Trusts(Transport::kTcp, local),
        "card: a wrong prediction is no reason to give up");

  RssConfig two = VirtualRssConfig({0, 1, 2, 3}, 3, "");
  two.cards = {{{At("10.0.0.1", 0)}, 0, 128, {}, {}},
               {{At("fd05::2", 0)}, 128, 4, {0, 1, 2, 3}, {}}};
  two.bucket_to_cpu.assign(132, 0);
  FlowClassifier by_address(two);
  auto bucket = [&](const char* host, KernelFlow said) {
    Flow flow = by_address.Classify(Transport::kTcp, said, peer, At(host, 80));
    return flow.from_kernel ? flow.bucket : kSoftware;
  };
  Check(two.buckets() == 132 && bucket("10.0.0.1", {kId, kHashTypeTcpIpv4}) == 0x75 &&
            bucket("::ffff:10.0.0.1", {kId, kHashTypeTcpIpv4}) == 0x75 &&
            bucket("fd05::2", {3, kHashTypeOpaque}) == 131 &&
            bucket("fd05::2", {4, kHashTypeOpaque}) == kSoftware &&
            bucket("10.0.0.9", {kId, kHashTypeTcpIpv4}) == kSoftware,
        "card: two that differ, by the local address");

  // The server keeps its 132 buckets.
  by_address.SetCards({{{}, 0, 3, {}, {}}}, {2, 1, -1});
  Check(bucket("10.0.0.1", {kId, kHashTypeTcpIpv4}) == kId % 3 &&
            by_address.config().buckets() == 132 && by_address.CpuOf(0) == 2 &&
            by_address.CpuOf(2) == -1 && by_address.CpuOf(3) == -1,
        "card: fewer entries than before");
  std::vector<int> pairs;
  for (int i = 0; i < 256; ++i) pairs.push_back(i / 2);
  by_address.SetCards({{{}, 0, 256, {}, pairs}}, {});
  Check(bucket("fd05::2", {kId, kHashTypeTcpIpv4}) == (kId & 255) / 2,
        "card: more entries, which share buckets");
  by_address.SetCards({{{}, 0, 4, {3, 2, 1, 0}, {8, 9, 8, 9}}}, {});
  Check(
      bucket("fd05::2", {0, kHashTypeOpaque}) == 9 && bucket("fd05::2", {3, kHashTypeOpaque}) == 8,
      "card: numbers of queues that share buckets");

  FlowClassifier virtual_first(VirtualRssConfig({0, 1}, 2, "no card yet"));
  Flow before = virtual_first.Classify(Transport::kTcp, {kId, kHashTypeTcpIpv4}, peer, local);
  bool lacked = virtual_first.lacks_id(before);
  virtual_first.SetCards({{{}, 0, 4, {}, {}}}, {0, 1, 0, 1});
  Flow after = virtual_first.Classify(Transport::kTcp, {kId, kHashTypeTcpIpv4}, peer, local);
  Flow none = virtual_first.Classify(Transport::kTcp, {}, peer, local);
  Check(!before.from_kernel && !lacked && after.from_kernel && after.bucket == kId % 4 &&
            virtual_first.lacks_id(none) && none.bucket == before.bucket,
        "card: one that appears beside virtual buckets");

  FlowSamples samples(2);
  auto add = [&](int port, uint32_t type) {
    samples.Add(Transport::kUdp, {kId, type}, At("10.0.0.1", port), local);
  };
  add(1, kHashTypeNone);
  add(2, kHashTypeIpv4);
  add(2, kHashTypeIpv4);
  add(3, kHashTypeIpv4);
  add(4, kHashTypeIpv4);
  Check(samples.Take().size() == 2 && samples.Take().empty(), "card: two samples of two flows");
  samples.Want(1);
  add(5, kHashTypeIpv4);
  add(6, kHashTypeIpv4);
  Check(samples.Take().size() == 1, "card: one more");
  samples.Want(3);
  for (int port : {7, 8, 8})
    samples.Add(Transport::kTcp, {kId, kHashTypeTcpIpv4}, peer, At("10.0.0.2", port));
  Check(samples.Take().size() == 2, "card: two connections to one peer");
}

void TestPrediction() {
  RssConfig config = VirtualRssConfig({0, 1, 2, 3}, 3, "");
  config.kernel = true;
  FlowClassifier classifier(config);
  FlowPredictor predictor(classifier);
  SocketAddress peer = At("66.9.149.187", 2794), local = At("161.142.100.80", 1766);
  SocketAddress same = At("161.142.100.80", 9), other = At("10.0.0.1", 1766);
  auto seen = [&](uint32_t id, uint32_t type) {
    Flow flow = classifier.Classify(Transport::kTcp, {id, type}, peer, local);
    return predictor.Check(Transport::kTcp, flow, peer, local);
  };
  Check(predictor.BucketOf(Transport::kTcp, peer, local) == (0x51ccc178 & 7), "prediction: bucket");
  Check(seen(0x51ccc178, kHashTypeTcpIpv4) && seen(0x51ccc178, kHashTypeTcpIpv4 | kHashTypeInner),
        "prediction: confirmed by the kernel's flow id");
  Check(seen(0x323e8fc2, kHashTypeIpv4) && seen(3, kHashTypeOpaque) && seen(0, kHashTypeNone) &&
            predictor.Trusts(Transport::kTcp, local),
        "prediction: other hash types say nothing about the key");
  Check(!seen(0x12345678, kHashTypeTcpIpv4) && !predictor.Trusts(Transport::kTcp, local) &&
            !predictor.Trusts(Transport::kTcp, same),
        "prediction: another flow id of the same type refutes it, for the address");
  Check(predictor.Trusts(Transport::kTcp, other) && predictor.Trusts(Transport::kUdp, local),
        "prediction: other addresses and UDP are not affected");
}

void TestByteQueue() {
  ByteQueue queue;
  std::string model;
  uint32_t random = 1;
  bool right = true;
  for (int i = 0; i < 20000 && right; ++i) {
    random = random * 1664525 + 1013904223;
    size_t count = (random >> 16) % 300;
    if ((random >> 8) % 2 == 0) {
      std::string bytes(count, static_cast<char>(random));
      queue.Append(bytes.data(), count);
      model += bytes;
    } else {
      count = count < model.size() ? count : model.size();
      queue.Consume(count);
      model.erase(0, count);
    }
    right = queue.size() == model.size() &&
            std::string(queue.data(), queue.data() + queue.size()) == model;
  }
  Check(right, "a byte queue holds what was appended and not consumed");
}

void TestConnectionIds() {
  ConnectionIds ids;
  std::vector<uint32_t> live;
  for (int i = 0; i < 100; ++i) live.push_back(ids.Allocate());
  uint32_t first = live[0];
  Check(first != 0 && first < 1u << 31 && ConnectionIds::SlotOf(live[99]) == 99,
        "ids are 31 bits, not 0, and slots are dense");
  for (uint32_t id : live) ids.Free(id);
  uint32_t again = ids.Allocate();
  Check(ConnectionIds::SlotOf(again) == ConnectionIds::SlotOf(first) && again != first,
        "slots are reused first-in first-out, with another generation");
  size_t reuses = 1;
  for (uint32_t id = again; id != first && reuses < 1u << 20; ++reuses) {
    ids.Free(id);
    do id = ids.Allocate();
    while (ConnectionIds::SlotOf(id) != ConnectionIds::SlotOf(first) && (ids.Free(id), true));
  }
  Check(reuses >= 2000, "an id comes back after 2,000 uses of its slot at the earliest",
        std::to_string(reuses));
}

void TestEpochs() {
  Epochs epochs(2);
  Check(epochs.Passed(epochs.Retire()), "no worker is in a turn: memory can be reused at once");
  epochs.Enter(0);
  uint64_t ticket = epochs.Retire();
  epochs.Enter(1);
  bool waits = !epochs.Passed(ticket);
  epochs.Leave(0);
  Check(waits && epochs.Passed(ticket), "a turn from before is waited for, one from after is not");
}

}  // namespace

void TestCore() {
  TestByteQueue();
  TestConnectionIds();
  TestEpochs();
  TestToeplitz();
  TestBucketMapping();
  TestVirtualConfig();
  TestCpuList();
  TestAddresses();
  TestClassification();
  TestCards();
  TestPrediction();
}

}  // namespace rss_test
