// Options and flags that some FreeBSD headers lack. The numbers never changed their meaning
// (FreeBSD sys/netinet/in.h, sys/netinet6/in6.h, sys/sys/mman.h, sys/sys/fcntl.h). Whether a kernel
// has them is probed at run time.
#pragma once

#include <sys/types.h>
// net/if.h needs sys/types.h and sys/socket.h first
#include <sys/socket.h>

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioccom.h>
#include <sys/time.h>

namespace rss {

constexpr int kIpBindAny = 24, kIpv6BindAny = 64;
constexpr int kIpBindMulti = 25, kIpv6BindMulti = 65;              // 11-13
constexpr int kIpRssListenBucket = 26, kIpv6RssListenBucket = 66;  // 11-13, options RSS
constexpr int kIpFlowId = 90, kIpv6FlowId = 67;
constexpr int kIpFlowType = 91, kIpv6FlowType = 68;
constexpr int kIpRssBucketId = 92, kIpv6RssBucketId = 69;  // options RSS
constexpr int kIpRecvFlowId = 93, kIpv6RecvFlowId = 70;
constexpr int kIpRecvRssBucketId = 94, kIpv6RecvRssBucketId = 71;  // options RSS
constexpr int kSoReusePortLb = 0x00010000;                         // 12+
constexpr int kSoSplice = 0x1023;                                  // 15+
constexpr int kSoDomain = 0x1019;                                  // 12+
constexpr int kTcpReusePortLbNuma = 1026;                          // 13+
constexpr int kNumaCurrentDomain = -1;                             // TCP_REUSPORT_LB_NUMA_CURDOM

// The value of SO_SPLICE: struct splice.
struct SpliceRequest {
  int fd;  // -1 ends the splice
  off_t most;
  timeval idle;
};

// SIOCGIFRSSKEY, 12+: hn, mana, mlx4 and mlx5 answer it.
struct RssKeyRequest {
  char name[IFNAMSIZ];
  uint8_t function;
  uint8_t spare;
  uint16_t length;
  uint8_t key[128];
};
constexpr unsigned long kGetRssKey = _IOWR('i', 150, RssKeyRequest);
constexpr int kRssToeplitz = 2;  // RSS_FUNC_TOEPLITZ

constexpr int kSfSync = 4;  // sendfile(2); 15 announces its removal in 16

constexpr unsigned kMfdCloexec = 1, kMfdAllowSealing = 2;      // 13+
constexpr int kAddSeals = 19, kSealShrink = 2, kSealGrow = 4;  // 13+, fcntl(2)

}  // namespace rss
