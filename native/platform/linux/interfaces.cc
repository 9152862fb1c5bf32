// What ethtool(8) prints with -x, -l and -S: keys, redirection tables, queues and counters of
// network cards.
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "platform/platform.h"

namespace rss {
namespace {

Status Ask(int fd, const std::string& interface, void* command) {
  ifreq request{};
  if (interface.size() >= sizeof request.ifr_name) return MakeFailure(ENODEV, "ioctl");
  memcpy(request.ifr_name, interface.c_str(), interface.size());
  request.ifr_data = static_cast<char*>(command);
  if (ioctl(fd, SIOCETHTOOL, &request) != 0) return LastError("ioctl");
  return Nothing{};
}

int Queues(int fd, const std::string& interface) {
  ethtool_rxnfc rings{};
  rings.cmd = ETHTOOL_GRXRINGS;
  return Ask(fd, interface, &rings).ok() ? static_cast<int>(rings.data) : 0;
}

// A command with the values that follow it, as words.
template <typename Command>
std::vector<uint32_t> WithValues(const Command& head, size_t bytes) {
  std::vector<uint32_t> memory((sizeof head + bytes + 3) / 4);
  memcpy(memory.data(), &head, sizeof head);
  return memory;
}

// Older drivers have a table and no key.
Status ReadTable(int fd, const std::string& interface, CardHash* out) {
  ethtool_rxfh_indir head{};
  head.cmd = ETHTOOL_GRXFHINDIR;
  Status status = Ask(fd, interface, &head);  // asks for the size
  if (!status.ok()) return status;
  auto answer = WithValues(head, head.size * sizeof(uint32_t));
  status = Ask(fd, interface, answer.data());
  const uint32_t* values = answer.data() + sizeof head / 4;
  if (status.ok()) out->table.assign(values, values + head.size);
  return status;
}

}  // namespace

Result<std::vector<NetworkInterface>> ReadInterfaces() {
  return MakeFailure(ENOTSUP, "getifaddrs", "the cards of Linux do not place flows");
}

Result<CardHash> ReadCardHash(const std::string& interface) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return LastError("socket");
  CardHash out;
  out.queues = Queues(fd.get(), interface);
  ethtool_rxfh head{};
  head.cmd = ETHTOOL_GRSSH;
  Status status = Ask(fd.get(), interface, &head);  // asks for the sizes
  if (!status.ok()) {
    status = ReadTable(fd.get(), interface, &out);
    if (!status.ok() && out.queues == 0) return status.failure;
    return out;
  }
  size_t entries = head.indir_size;
  auto answer = WithValues(head, entries * sizeof(uint32_t) + head.key_size);
  status = Ask(fd.get(), interface, answer.data());
  if (!status.ok()) return status.failure;
  memcpy(&head, answer.data(), sizeof head);
  const uint32_t* values = answer.data() + sizeof head / 4;
  out.table.assign(values, values + entries);
  // 0: the driver does not say. Hashes other than Toeplitz have no use here.
  constexpr uint8_t kToeplitz = 1;  // ETH_RSS_HASH_TOP
  if (head.hfunc > kToeplitz) return out;
  // Behind the function: how the input is changed first. Headers before Linux 6.8 do not name it.
  if (reinterpret_cast<const uint8_t*>(&head)[offsetof(ethtool_rxfh, hfunc) + 1] != 0) return out;
  auto* key = reinterpret_cast<const uint8_t*>(values + entries);
  out.key.assign(key, key + head.key_size);
  return out;
}

Result<std::vector<CardCounter>> ReadCardCounters(const std::string& interface) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return LastError("socket");
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  Status status = Ask(fd.get(), interface, &driver);  // asks for the number of counters
  if (!status.ok()) return status.failure;
  if (driver.n_stats == 0) return MakeFailure(ENOTSUP, "ioctl", "the driver has no counters");
  // The kernel writes as many as there are by then: queues can be added meanwhile.
  const size_t room = 2 * size_t{driver.n_stats} + 256;
  ethtool_gstrings names{};
  names.cmd = ETHTOOL_GSTRINGS;
  names.string_set = ETH_SS_STATS;
  names.len = driver.n_stats;
  auto texts = WithValues(names, room * ETH_GSTRING_LEN);
  status = Ask(fd.get(), interface, texts.data());
  if (!status.ok()) return status.failure;
  memcpy(&names, texts.data(), sizeof names);
  ethtool_stats numbers{};
  numbers.cmd = ETHTOOL_GSTATS;
  numbers.n_stats = names.len;
  auto values = WithValues(numbers, room * sizeof(uint64_t));
  status = Ask(fd.get(), interface, values.data());
  if (!status.ok()) return status.failure;
  memcpy(&numbers, values.data(), sizeof numbers);
  // Names and numbers of different moments do not belong together.
  if (numbers.n_stats != names.len || names.len > room) return MakeFailure(EAGAIN, "ioctl");
  auto* text = reinterpret_cast<const char*>(texts.data()) + sizeof names;
  auto* number = reinterpret_cast<const uint8_t*>(values.data()) + sizeof numbers;
  std::vector<CardCounter> out(names.len);
  for (size_t i = 0; i < out.size(); ++i) {
    const char* name = text + i * ETH_GSTRING_LEN;
    uint64_t value = 0;
    memcpy(&value, number + i * sizeof value, sizeof value);
    out[i] = {std::string(name, strnlen(name, ETH_GSTRING_LEN)), static_cast<double>(value)};
  }
  return out;
}

}  // namespace rss
