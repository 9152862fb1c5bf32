// Interfaces with their addresses, what lies below lagg(4) and vlan(4), and hash keys of cards.
#include <sys/types.h>
// net/if.h and its kind need sys/types.h and sys/socket.h first
#include <sys/socket.h>

#include <ifaddrs.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_lagg.h>
#include <net/if_mib.h>
#include <net/if_vlan_var.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysctl.h>

#include <algorithm>

#include "platform/freebsd/constants.h"
#include "platform/platform.h"

namespace rss {
namespace {

constexpr size_t kMostPorts = 32;   // of a lagg(4)
constexpr size_t kMostGroups = 16;  // of an interface

// Interfaces may be renamed; sysctl dev has the name of the driver.
std::string DriverName(const std::string& name) {
  int oid[] = {CTL_NET,
               PF_LINK,
               NETLINK_GENERIC,
               IFMIB_IFDATA,
               static_cast<int>(if_nametoindex(name.c_str())),
               IFDATA_DRIVERNAME};
  char device[IFNAMSIZ * 2] = {};
  size_t size = sizeof device - 1;
  if (sysctl(oid, std::size(oid), device, &size, nullptr, 0) != 0 || device[0] == 0) return name;
  return device;
}

// The kernel puts interfaces that it creates on request into the group of their driver: lagg, vlan,
// bridge, tun, epair, lo.
std::string KindOf(int fd, const std::string& name, const std::string& device) {
  std::string driver = device.substr(0, device.find_last_not_of("0123456789") + 1);
  ifg_req groups[kMostGroups] = {};
  ifgroupreq request{};
  strlcpy(request.ifgr_name, name.c_str(), sizeof request.ifgr_name);
  request.ifgr_len = sizeof groups;
  request.ifgr_groups = groups;
  if (ioctl(fd, SIOCGIFGROUP, &request) != 0) return {};
  // ifgr_len stays as given, so the groups are those that have names.
  bool cloned = std::any_of(std::begin(groups), std::end(groups),
                            [&](const ifg_req& group) { return driver == group.ifgrq_group; });
  return cloned ? driver : std::string();
}

std::vector<std::string> Below(int fd, const NetworkInterface& interface) {
  if (interface.kind == "vlan") {
    vlanreq vlan{};
    ifreq request{};
    strlcpy(request.ifr_name, interface.name.c_str(), sizeof request.ifr_name);
    request.ifr_data = reinterpret_cast<caddr_t>(&vlan);
    if (ioctl(fd, SIOCGETVLAN, &request) != 0 || vlan.vlr_parent[0] == 0) return {};
    return {vlan.vlr_parent};
  }
  if (interface.kind != "lagg") return {};
  lagg_reqport ports[kMostPorts] = {};
  lagg_reqall all{};
  strlcpy(all.ra_ifname, interface.name.c_str(), sizeof all.ra_ifname);
  all.ra_size = sizeof ports;
  all.ra_port = ports;
  if (ioctl(fd, SIOCGLAGG, &all) != 0) return {};
  std::vector<std::string> names;
  for (size_t i = 0; i < std::min(static_cast<size_t>(all.ra_ports), kMostPorts); ++i)
    names.emplace_back(ports[i].rp_portname);
  return names;
}

}  // namespace

Result<std::vector<NetworkInterface>> ReadInterfaces() {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return LastError("socket");
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return LastError("getifaddrs");
  std::vector<NetworkInterface> out;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    auto found = std::find_if(out.begin(), out.end(), [one](const NetworkInterface& interface) {
      return interface.name == one->ifa_name;
    });
    if (found == out.end()) {
      NetworkInterface interface;
      interface.name = one->ifa_name;
      interface.device = DriverName(interface.name);
      interface.kind = KindOf(fd.get(), interface.name, interface.device);
      interface.up = (one->ifa_flags & IFF_UP) != 0;
      interface.below = Below(fd.get(), interface);
      found = out.insert(out.end(), std::move(interface));
    }
    const sockaddr* address = one->ifa_addr;
    if (address == nullptr) continue;
    bool v4 = address->sa_family == AF_INET;
    if (!v4 && address->sa_family != AF_INET6) continue;
    SocketAddress own;
    memcpy(&own.sa, address, v4 ? sizeof own.v4 : sizeof own.v6);
    own.set_port(0);
    found->addresses.push_back(own);
  }
  freeifaddrs(list);
  return out;
}

Result<CardHash> ReadCardHash(const std::string& interface) {
  UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return LastError("socket");
  RssKeyRequest request{};
  strlcpy(request.name, interface.c_str(), sizeof request.name);
  if (ioctl(fd.get(), kGetRssKey, &request) != 0) return LastError("ioctl");
  CardHash hash;
  if (request.function == kRssToeplitz)
    hash.key.assign(request.key,
                    request.key + std::min<size_t>(request.length, sizeof request.key));
  return hash;
}

Result<std::vector<QueueCounter>> ReadQueueCounters(const std::string&) {
  return MakeFailure(ENOTSUP, "netlink", "drivers of FreeBSD count below dev in sysctl(8)");
}

Result<std::vector<CardCounter>> ReadCardCounters(const std::string&) {
  return MakeFailure(ENOTSUP, "ioctl", "drivers of FreeBSD count below dev in sysctl(8)");
}

Result<bool> HasReceiveHash(SocketAddress, const SocketAddress&, const RssKey&) {
  return MakeFailure(ENOTSUP, "setsockopt", "FreeBSD tells the hash itself");
}

}  // namespace rss
