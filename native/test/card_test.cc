// Where flows get their buckets on this kernel, and the flow ids of real connections against the
// receive queues of the card that they come by.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>

#include "platform/platform.h"
#include "platform/posix/connect.h"
#include "platform/posix/stream.h"
#include "test/check.h"

namespace rss_test {

using namespace rss;

namespace {

constexpr int kConnections = 12;
// Drivers with this table: lib/rss/card/drivers.ts.
constexpr uint32_t kTableSize = 128;
constexpr const char* kDrivers[] = {"em", "igb", "igc"};

std::string DriverOf(const std::string& device) {
  return device.substr(0, device.find_last_not_of("0123456789") + 1);
}

// A value of each receive queue, as drivers of iflib(4) show them. With more than ten queues, their
// numbers have two digits; with more than a hundred, three.
std::vector<int> OfQueues(const std::string& device, const std::string& what) {
  std::string driver = DriverOf(device);
  std::string node = "dev." + driver + "." + device.substr(driver.size()) + ".iflib.rxq";
  std::vector<int> values;
  for (int digits = 1; digits <= 3 && values.empty(); ++digits) {
    for (;;) {
      char number[16];
      snprintf(number, sizeof number, "%0*zu", digits, values.size());
      auto value = ReadSystemValues(node + number + "." + what);
      if (!value.ok() || value.value.size() != 1) break;
      values.push_back(atoi(value.value[0].text.c_str()));
    }
  }
  return values;
}

// Prints source and map. Returns whether a card has several queues.
bool PrintSource(const std::vector<NetworkInterface>& interfaces) {
  bool several = false;
  for (const NetworkInterface& one : interfaces) {
    if (!one.kind.empty()) continue;
    std::string map;
    std::vector<int> cpus = OfQueues(one.device, "cpu");
    for (size_t queue = 0; queue < cpus.size(); ++queue)
      map += " " + std::to_string(queue) + ":" + std::to_string(cpus[queue]);
    if (cpus.empty()) map = " not shown";
    printf("        %s, device %s: queue:CPU%s\n", one.name.c_str(), one.device.c_str(),
           map.c_str());
    several = several || cpus.size() > 1;
  }
  bool kernel = ReadKernelRssConfig().ok();
  printf("        source: %s\n", kernel ? "kernel" : several ? "card" : "virtual");
  return several;
}

// "10.0.0.1:22", "[2001:db8::1]:22"
Result<SocketAddress> ParsePeer(const std::string& text) {
  size_t colon = text.rfind(':');
  if (colon == std::string::npos) return MakeFailure(EINVAL, "RSS_CARD_PEER");
  std::string host = text.substr(0, colon);
  host.erase(std::remove_if(host.begin(), host.end(), [](char c) { return c == '[' || c == ']'; }),
             host.end());
  return ParseAddress(host, static_cast<uint16_t>(atoi(text.c_str() + colon + 1)));
}

std::string DeviceOf(const std::vector<NetworkInterface>& interfaces, const SocketAddress& local) {
  for (const NetworkInterface& one : interfaces)
    for (const SocketAddress& address : one.addresses)
      if (one.kind.empty() && address.Host() == local.Host()) return one.device;
  return {};
}

struct Seen {
  SocketAddress local;
  KernelFlow flow;
};

Result<Seen> ConnectTo(const SocketAddress& peer) {
  Connecting how;
  how.peer = peer;
  auto fd = Connect(how);
  if (!fd.ok()) return fd.failure;
  if (!Await(fd.value.get(), POLLOUT)) return MakeFailure(ETIMEDOUT, "connect");
  Seen seen;
  SocketAddress remote;
  Status status = ConnectionAddresses(fd.value.get(), &seen.local, &remote);
  if (!status.ok()) return status.failure;
  auto flow = GetKernelFlow(fd.value.get());
  if (!flow.ok()) return flow.failure;
  seen.flow = flow.value;
  return seen;
}

// Each flow id must lead to a queue whose ring has moved meanwhile.
void CheckQueues(const std::string& device, const SocketAddress& peer) {
  const std::string ring = "rxq_fl0.cidx";
  int with_id = 0, right = 0;
  std::string wrong;
  for (int i = 0; i < kConnections; ++i) {
    std::vector<int> before = OfQueues(device, ring);
    auto seen = ConnectTo(peer);
    std::vector<int> after = OfQueues(device, ring);
    if (!CheckOk(seen, "a connection to RSS_CARD_PEER")) return;
    if (seen.value.flow.hash_type == 0 || before.size() != after.size() || before.empty()) continue;
    ++with_id;
    uint32_t id = seen.value.flow.flow_id;
    size_t queue = id % kTableSize % before.size();
    if (before[queue] != after[queue])
      ++right;
    else
      wrong += " " + std::to_string(id);
  }
  if (with_id == 0) return Skip("flow ids lead to queues", device + " gives no flow ids");
  Check(right == with_id, std::to_string(right) + " flow ids lead to queues of " + device, wrong);
}

}  // namespace

void TestCardFlows() {
  auto interfaces = ReadInterfaces();
  if (interfaces.failure.error == -ENOTSUP) return Skip("cards", Describe(interfaces.failure));
  if (!CheckOk(interfaces, "interfaces are read")) return;
  const char* name = "flow ids lead to queues";
  if (!PrintSource(interfaces.value)) return Skip(name, "no card with several receive queues");
  const char* text = getenv("RSS_CARD_PEER");
  if (text == nullptr) return Skip(name, "RSS_CARD_PEER names no TCP server beyond a card");
  auto peer = ParsePeer(text);
  if (!CheckOk(peer, "RSS_CARD_PEER is an address and a port")) return;
  auto first = ConnectTo(*peer);
  if (!CheckOk(first, "a connection to RSS_CARD_PEER")) return;
  std::string device = DeviceOf(interfaces.value, first.value.local);
  bool known = std::any_of(std::begin(kDrivers), std::end(kDrivers),
                           [&](const char* driver) { return DriverOf(device) == driver; });
  if (!known) return Skip(name, "the table of " + (device.empty() ? "no card" : device));
  CheckQueues(device, *peer);
}

}  // namespace rss_test
