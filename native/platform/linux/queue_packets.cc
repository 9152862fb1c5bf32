// Packets of the queues of a network card as the kernel counts them: the family "netdev" of generic
// netlink, which headers before Linux 6.9 do not have.
#include <linux/genetlink.h>
#include <net/if.h>
#include <string.h>

#include "platform/linux/netlink.h"
#include "platform/platform.h"

namespace rss {
namespace {

constexpr uint8_t kStatistics = 12;  // NETDEV_CMD_QSTATS_GET
constexpr uint64_t kOfQueues = 1;    // NETDEV_QSTATS_SCOPE_QUEUE
constexpr uint32_t kReceive = 0;     // NETDEV_QUEUE_TYPE_RX
enum Attribute {                     // NETDEV_A_QSTATS_IFINDEX, ...
  kInterface = 1,
  kQueueType = 2,
  kQueueId = 3,
  kScope = 4,
  kReceived = 8,
  kSent = 10,
};

// A kernel writes numbers with 4 or with 8 bytes, as they need. False: it has not written one.
bool Read(const nlmsghdr* message, int attribute, uint64_t* to) {
  const void* value = FindAttribute<genlmsghdr>(message, attribute);
  if (value == nullptr) return false;
  rtattr head{};
  memcpy(&head, static_cast<const uint8_t*>(value) - RTA_LENGTH(0), sizeof head);
  *to = 0;
  memcpy(to, value, RTA_PAYLOAD(&head) < sizeof *to ? sizeof(uint32_t) : sizeof *to);
  return true;
}

// The number of the family, or 0.
uint16_t FindFamily(int fd, uint8_t* buffer, size_t size) {
  NetlinkRequest<genlmsghdr> request(GENL_ID_CTRL, 0);
  request.body.cmd = CTRL_CMD_GETFAMILY;
  request.body.version = 1;
  request.Add(CTRL_ATTR_FAMILY_NAME, "netdev", sizeof "netdev");
  const nlmsghdr* answer = AskNetlink(fd, request, buffer, size);
  const void* id =
      answer == nullptr ? nullptr : FindAttribute<genlmsghdr>(answer, CTRL_ATTR_FAMILY_ID);
  uint16_t family = 0;
  if (id != nullptr) memcpy(&family, id, sizeof family);
  return family;
}

}  // namespace

Result<std::vector<QueueCounter>> ReadQueueCounters(const std::string& interface) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
  if (!fd) return LastError("socket");
  uint32_t index = if_nametoindex(interface.c_str());
  if (index == 0) return MakeFailure(ENODEV, "if_nametoindex");
  alignas(nlmsghdr) uint8_t buffer[32 * 1024];
  uint16_t family = FindFamily(fd.get(), buffer, sizeof buffer);
  if (family == 0) return MakeFailure(ENOTSUP, "netlink", "no family netdev");

  NetlinkRequest<genlmsghdr> request(family, NLM_F_DUMP);
  request.body.cmd = kStatistics;
  request.body.version = 1;
  request.Add(kInterface, &index, sizeof index);
  request.Add(kScope, &kOfQueues, sizeof kOfQueues);
  if (send(fd.get(), &request, request.header.nlmsg_len, 0) < 0) return LastError("send");
  std::vector<QueueCounter> out;
  for (;;) {
    ssize_t got = recv(fd.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0) return LastError("recv");
    auto left = static_cast<size_t>(got);
    auto* message = reinterpret_cast<const nlmsghdr*>(buffer);
    for (; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type == NLMSG_ERROR)
        return MakeFailure(ENOTSUP, "netlink", "no packets of queues");
      if (message->nlmsg_type == NLMSG_DONE) return out;
      uint64_t of = 0, type = 0, queue = 0, packets = 0;
      // Linux 6.9 answers for all interfaces.
      if (!Read(message, kInterface, &of) || of != index) continue;
      if (!Read(message, kQueueType, &type) || !Read(message, kQueueId, &queue)) continue;
      bool receive = type == kReceive;
      if (!Read(message, receive ? kReceived : kSent, &packets)) continue;
      out.push_back({receive, static_cast<int>(queue), static_cast<double>(packets)});
    }
  }
}

}  // namespace rss
