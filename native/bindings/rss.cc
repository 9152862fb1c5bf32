// Configuration, capabilities and hashing.
#include <string.h>

#include <algorithm>

#include "bindings/convert.h"
#include "bindings/rss_config.h"
#include "core/hash_type.h"
#include "platform/platform.h"

namespace rss {

Napi::Value ToJs(Napi::Env env, const RssConfig& config) {
  Napi::Object out = Napi::Object::New(env);
  out.Set("source", config.kernel ? "kernel" : "virtual");
  if (!config.kernel) out.Set("reason", config.reason);
  out.Set("buckets", config.buckets());
  out.Set("bits", config.bits);
  out.Set("mask", config.mask());
  out.Set("maxBits", config.max_bits);
  out.Set("ncpus", config.ncpus);
  out.Set("maxCpus", config.max_cpus);
  out.Set("baseCpu", config.base_cpu);
  out.Set("debug", config.debug);
  out.Set("hashAlgorithm", config.algorithm == HashAlgorithm::kNaive ? "naive" : "toeplitz");
  out.Set("hashKey", Napi::Buffer<uint8_t>::Copy(env, config.key.data(), config.key.size()));
  out.Set("hashKeyReadable", config.key_readable);
  out.Set("tcpHash", config.tcp_4tuple ? "4-tuple" : "2-tuple");
  out.Set("udpHash", config.udp_4tuple ? "4-tuple" : "2-tuple");
  out.Set("bucketMap", ToJs(env, config.bucket_to_cpu));
  return out;
}

namespace {

// Numbers, or undefined: -1.
std::vector<int> CpusFromJs(Napi::Value value) {
  std::vector<int> out;
  if (!value.IsArray()) return out;
  auto list = value.As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); ++i) {
    Napi::Value cpu = list.Get(i);
    out.push_back(cpu.IsNumber() ? IntFromJs(cpu) : -1);
  }
  return out;
}

// { parts: [{ addresses, firstBucket, buckets, queueBucket, sharedBucket? }] }
CardLayouts CardsFromJs(Napi::Value value) {
  CardLayouts cards;
  Napi::Value list = value.IsObject() ? value.As<Napi::Object>().Get("parts") : Napi::Value();
  if (!list.IsArray()) return {CardLayout()};
  auto parts = list.As<Napi::Array>();
  for (uint32_t i = 0; i < parts.Length(); ++i) {
    Napi::Value one = parts.Get(i);
    if (!one.IsObject()) continue;
    auto part = one.As<Napi::Object>();
    CardLayout card;
    card.first = IntFromJs(part.Get("firstBucket"));
    card.buckets = std::max(IntFromJs(part.Get("buckets")), 1);
    card.queue_bucket = IntsFromJs(part.Get("queueBucket"));
    card.shared = IntsFromJs(part.Get("sharedBucket"));
    if (static_cast<int>(card.shared.size()) != card.buckets) card.shared.clear();
    for (const std::string& text : TextsFromJs(part.Get("addresses"))) {
      auto address = ParseAddress(text, 0);
      if (address.ok()) card.addresses.push_back(address->Unmapped());
    }
    cards.push_back(std::move(card));
  }
  return cards;
}

}  // namespace

RssConfig RssConfigFromJs(Napi::Object object) {
  RssConfig config;
  config.kernel = TextFromJs(object.Get("source")) == "kernel";
  config.bits = std::min(std::max(IntFromJs(object.Get("bits")), 0), kMaxBits);
  config.algorithm = TextFromJs(object.Get("hashAlgorithm")) == "naive" ? HashAlgorithm::kNaive
                                                                        : HashAlgorithm::kToeplitz;
  auto key = ElementsFromJs<uint8_t>(object.Get("hashKey"));
  if (key.length == config.key.size()) memcpy(config.key.data(), key.data, config.key.size());
  config.tcp_4tuple = TextFromJs(object.Get("tcpHash")) != "2-tuple";
  config.udp_4tuple = TextFromJs(object.Get("udpHash")) == "4-tuple";
  config.bucket_to_cpu = IntsFromJs(object.Get("bucketMap"));
  if (TextFromJs(object.Get("source")) != "card") return config;
  Napi::Value card = object.Get("card");
  config.cards = CardsFromJs(card);
  // Workers may run elsewhere than packets are handled.
  if (card.IsObject()) {
    std::vector<int> cpus = CpusFromJs(card.As<Napi::Object>().Get("bucketCpu"));
    if (cpus.size() == config.bucket_to_cpu.size()) config.bucket_to_cpu = std::move(cpus);
  }
  return config;
}

namespace {

Napi::Value KernelRssConfig(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), ReadKernelRssConfig());
}

// virtualRssConfig(cpus, bits, reason)
Napi::Value VirtualConfig(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(),
              VirtualRssConfig(IntsFromJs(info[0]), IntFromJs(info[1]), TextFromJs(info[2])));
}

Napi::Value BucketMapping(const Napi::CallbackInfo& info) {
  return ToJs(info.Env(), ParseBucketMapping(TextFromJs(info[0]), IntFromJs(info[1])));
}

Napi::Value GetCapabilities(const Napi::CallbackInfo& info) {
  Capabilities c = ProbeCapabilities();
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("platform", c.platform);
  out.Set("release", c.release);
  Napi::Object probes = Napi::Object::New(info.Env());
  probes.Set("rssConfig", c.rss_config);
  for (size_t i = 0; i < kSocketOptions; ++i) probes.Set(kSocketOptionNames[i], c.options[i]);
  probes.Set("listenBucketV6", c.listen_bucket_v6);
  probes.Set("reusePortBpf", c.reuse_port_bpf);
  probes.Set("ipv6", c.ipv6);
  out.Set("probes", probes);
  out.Set("cpuDomains", ToJs(info.Env(), c.cpu_domains));
  out.Set("netisrThreads", c.netisr_threads);
  out.Set("jailed", c.jailed);
  return out;
}

// toeplitz(key, bytes)
Napi::Value Toeplitz(const Napi::CallbackInfo& info) {
  auto key = ElementsFromJs<uint8_t>(info[0]), data = ElementsFromJs<uint8_t>(info[1]);
  return Napi::Number::New(info.Env(), ToeplitzHash(key.data, key.length, data.data, data.length));
}

// hashTuple(config, tcp, source, sourcePort, destination, destinationPort)
Napi::Value HashTuple(const Napi::CallbackInfo& info) {
  FlowClassifier classifier(RssConfigFromJs(info[0].As<Napi::Object>()));
  Transport transport = BoolFromJs(info[1]) ? Transport::kTcp : Transport::kUdp;
  auto source = ParseAddress(TextFromJs(info[2]), static_cast<uint16_t>(IntFromJs(info[3])));
  if (!source.ok()) return ToJs(info.Env(), source.failure);
  auto destination = ParseAddress(TextFromJs(info[4]), static_cast<uint16_t>(IntFromJs(info[5])));
  if (!destination.ok()) return ToJs(info.Env(), destination.failure);
  if (source->Unmapped().family() != destination->Unmapped().family())
    return ToJs(info.Env(),
                MakeFailure(EAFNOSUPPORT, "hash", "the addresses are of different families"));
  Flow flow = classifier.Hash(transport, *source, *destination);
  flow.bucket = classifier.BucketOfHash(flow.flow_id, *destination);
  return ToJs(info.Env(), flow);
}

Napi::Value HashTypeText(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), HashTypeName(static_cast<uint32_t>(IntFromJs(info[0]))));
}

}  // namespace

void RegisterRss(Napi::Env env, Napi::Object exports) {
  Export(env, exports, "kernelRssConfig", KernelRssConfig);
  Export(env, exports, "virtualRssConfig", VirtualConfig);
  Export(env, exports, "parseBucketMapping", BucketMapping);
  Export(env, exports, "capabilities", GetCapabilities);
  Export(env, exports, "toeplitz", Toeplitz);
  Export(env, exports, "hashTuple", HashTuple);
  Export(env, exports, "hashTypeName", HashTypeText);
}

}  // namespace rss
