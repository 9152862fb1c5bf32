// THE platform interface: what each system must provide. One folder implements it per system
// (freebsd, linux, stub); what FreeBSD and Linux share lies in posix. No N-API and no libuv here.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <string>
#include <vector>

#include "core/bucket_table.h"
#include "core/cpulist.h"
#include "core/flow.h"
#include "core/result.h"
#include "core/reuseport_bpf.h"
#include "core/rss_config.h"
#include "core/unique_fd.h"

namespace rss {

// --- Configuration and capabilities -------------------------------------------------------------

// The kernel's RSS configuration. ENOENT or ENOTSUP when there is none, with the reason in detail.
Result<RssConfig> ReadKernelRssConfig();

// Outcome of trying something: 0 it works, else -errno.
struct Capabilities {
  const char* platform = "";
  std::string release;           // uname(3)
  int rss_config = 0;            // net.inet.rss.buckets can be read
  int listen_bucket = 0;         // IP_RSS_LISTEN_BUCKET
  int listen_bucket_v6 = 0;      // IPV6_RSS_LISTEN_BUCKET
  int bind_multi = 0;            // IP_BINDMULTI
  int bind_any = 0;              // IP_BINDANY, Linux IP_TRANSPARENT
  int reuse_port = 0;            // SO_REUSEPORT
  int reuse_port_lb = 0;         // SO_REUSEPORT_LB
  int reuse_port_lb_numa = 0;    // TCP_REUSPORT_LB_NUMA
  int reuse_port_bpf = 0;        // SO_ATTACH_REUSEPORT_CBPF
  int recv_flow_id = 0;          // IP_RECVFLOWID
  int recv_rss_bucket_id = 0;    // IP_RECVRSSBUCKETID
  int ipv6 = 0;                  // an IPv6 socket can be made
  std::vector<int> cpu_domains;  // NUMA domain of each CPU by its number; -1: no such CPU
  int netisr_threads = 0;        // net.isr.numthreads; 0 where there is no netisr
  bool jailed = false;           // security.jail.jailed
};
Capabilities ProbeCapabilities();

// A sysctl(8) value as text.
struct SystemValue {
  std::string name;
  std::string text;
};
// The value of this name, or all values beneath it that have text: "hw.intrs", "dev.igb.0". ENOENT
// when there is no such name, ENOTSUP outside FreeBSD.
Result<std::vector<SystemValue>> ReadSystemValues(const std::string& name);

// --- CPUs ---------------------------------------------------------------------------------------

// The CPUs that this process may use: cpuset(1), jail, taskset, container.
Result<CpuList> ProcessCpus();
// The CPUs that the calling thread may run on.
Result<CpuList> ThreadAffinity();
// Pins the calling thread. EINVAL names CPUs that the process may not use.
Status SetThreadAffinity(const CpuList& cpus);
// The CPU the calling thread is on, or -errno.
int CurrentCpu();
// The NUMA domain of each CPU by its number; all 0 where the system knows no domains.
std::vector<int> CpuDomains();

// --- Socket options -----------------------------------------------------------------------------

enum class SocketOption {
  kBindAny,          // IP(V6)_BINDANY; Linux IP(V6)_TRANSPARENT
  kBindMulti,        // IP(V6)_BINDMULTI, FreeBSD 11-13
  kListenBucket,     // IP(V6)_RSS_LISTEN_BUCKET, FreeBSD 11-13 with options RSS, set only
  kReusePort,        // SO_REUSEPORT
  kReusePortLb,      // SO_REUSEPORT_LB, FreeBSD 12+
  kReusePortLbNuma,  // TCP_REUSPORT_LB_NUMA, FreeBSD 13+, after bind
  kRecvFlowId,       // IP(V6)_RECVFLOWID, FreeBSD 11+
  kRecvRssBucketId,  // IP(V6)_RECVRSSBUCKETID, FreeBSD 11+ with options RSS
  kRecvDestination,  // IP_RECVDSTADDR and IPV6_RECVPKTINFO; Linux IP_PKTINFO
};

// ENOPROTOOPT where this system or kernel does not have the option.
Status SetOption(int fd, SocketOption option, int value);
Result<int> GetOption(int fd, SocketOption option);

// Flow id and hash type of a connected TCP socket. ENOPROTOOPT where the kernel has none; type 0
// when its packets were not hashed.
Result<KernelFlow> GetKernelFlow(int fd);

// --- Steering -----------------------------------------------------------------------------------

enum class Steering { kListenBucket, kReusePortLb, kBpfToeplitz, kBpfCpu, kSingle };

// Sets what a member of a group needs before bind(2). `bucket` counts for kListenBucket alone.
Status PrepareGroupMember(int fd, Steering steering, int bucket);
// Whether the members of a group may be dual-stack wildcard sockets. FreeBSD puts none of these
// into a load-balancing group (in_pcbinslbgrouphash()): there IPv6 and IPv4 need a group each.
bool DualStackGroups(Steering steering);
// Attaches a program to a group through any member. ENOTSUP outside Linux.
Status AttachSteeringProgram(int fd, const BpfProgram& program);

// --- Datagram batches ---------------------------------------------------------------------------

// Room for one datagram's control messages, in and out, on both systems.
constexpr size_t kControlSize = 256;

struct DatagramInfo {
  KernelFlow flow;
  int kernel_bucket = -1;  // IP_RSSBUCKETID control message, -1 when absent
  bool has_destination = false;
  SocketAddress destination;  // address the datagram reached; its port is not set
};

// Asks for destination address, flow id, hash type and bucket with each datagram, as far as the
// kernel has them. `bound` says that the socket has one address, which then need not be told; but
// FreeBSD delivers flow messages reliably only beside the destination's.
Status EnableDatagramInfo(int fd, bool bound);
DatagramInfo ParseControl(const msghdr& message);
// Writes control messages that make a reply to `peer` leave from `source`, if that is not null,
// and, where the kernel takes it, on the transmit queue of its flow; returns their length, 0 for
// none.
size_t BuildReplyControl(const SocketAddress* source, const SocketAddress& peer,
                         const KernelFlow& flow, void* buffer);

// Has the kernel cut a message of several equally long datagrams to one peer apart, which passes
// through its layers once instead of for each: writes the control message, returns its length. 0
// where there is no such thing.
size_t BuildSegmentControl(uint16_t datagram_size, void* buffer);

// --- Stream sockets -----------------------------------------------------------------------------

// recv(2) and send(2) that neither wait nor raise SIGPIPE: -1 with errno. On Linux not through the
// C library, where each is a cancellation point of pthread_cancel(3) that costs more than its call.
ssize_t ReceiveNow(int fd, void* buffer, size_t size);
ssize_t SendNow(int fd, const void* bytes, size_t size);

// --- Readiness ----------------------------------------------------------------------------------

// Has an event queue (libuv's epoll(7) descriptor) tell of new input on `fd` once, instead of in
// every round until it is read, which costs the kernel two looks at the socket per round. The
// reader then has to read until there is nothing. False where that is not done; then nothing has
// changed.
bool WatchEdges(int queue, int fd);

// --- Sending files and shared memory
// --------------------------------------------------------------

// What sendfile(2) sends from, and how. Flags that a system does not have are left out by it.
struct FileRange {
  int fd = -1;
  uint64_t offset = 0;
  size_t length = 0;        // at least 1
  bool no_disk_io = false;  // SF_NODISKIO: EBUSY rather than to wait for the disk
  bool no_cache = false;    // SF_NOCACHE: drops the pages once they have been sent
  bool sync = false;        // SF_SYNC: blocks until nobody refers to the pages any more
  int read_ahead = 0;       // SF_USER_READAHEAD, pages
};

// Sends `headers`, then the range, as far as a non-blocking socket takes them: bytes of both
// together, or -errno; -EAGAIN when there are none, -EIO when the file ends before the range. The
// process must ignore SIGPIPE, which no flag keeps sendfile(2) from raising.
ssize_t SendFile(int socket, const iovec* headers, int count, const FileRange& range);
// Whether SendFile() knows FileRange::sync.
bool HasSyncSend();

// Bytes that a stream socket has taken and its peer has not acknowledged, or more: SIOCOUTQ,
// FIONSPACE. Of a Unix socket on Linux it is memory that the peer has not read.
ssize_t Unacknowledged(int socket);

// Tells whether a socket's send buffer is empty: all has been acknowledged, or thrown away.
class EmptyProbe {
 public:
  EmptyProbe();
  bool Ask(int socket);
  // Unacknowledged(), by whichever of the two tells more.
  ssize_t Rest(int socket);

 private:
  UniqueFd queue_;  // FreeBSD: a kqueue(2) of its own, for EVFILT_EMPTY (12+)
};

// Whether the kernel sends this connection's packets by a timer of its own (Linux: BBR). On this
// host the bursts that sendfile(2) hands over then wait for timers that cost more than copying them
// would.
bool IsPaced(int socket);

// Whether a TCP connection holds back what does not fill a packet: TCP_CORK, TCP_NOPUSH.
void HoldBack(int socket, bool hold);

// Where packets to this address go: by a physical device to another machine, so that nobody on this
// host can still hold pages that they were sent from once they are acknowledged; or perhaps to
// somebody on this host, as virtual interfaces (veth, bridge, epair, VLAN) are taken for. Unknown:
// there is no route, or it is not told.
enum class Route { kUnknown, kHere, kElsewhere };
Route RouteTo(const SocketAddress& peer);

// --- Shared memory and waiting ------------------------------------------------------------------

// An anonymous POSIX shared memory object: SHM_ANON, or memfd_create(2). It never shrinks, where
// the system can see to that. With `large_pages`: of pages of kLargePage bytes, or an error.
Result<UniqueFd> CreateAnonymousShm(bool large_pages);
constexpr size_t kLargePage = 2 << 20;
// Makes a named object larger, of `from` bytes. ENOSPC where its file system has too little room,
// which its first use would end the process for (Linux: /dev/shm).
Status ExtendNamedShm(int fd, size_t from, size_t to);
// Keeps the size of such an object as it is from now on: F_SEAL_GROW, F_SEAL_SHRINK; FreeBSD 13+.
Status SealSize(int fd);
// Addresses that nothing else will be mapped to, aligned to kLargePage if there are so many; null
// with errno.
uint8_t* ReserveAddresses(size_t size);

// Has the kernel use ordinary pages for a mapping: of a larger one, a part cannot be renewed while
// it is being sent (Linux zeroes it in place).
void KeepPagesSmall(void* at, size_t length);
// Replaces whole pages of an object by fresh zeros; whoever was sent the old ones keeps them as
// they were. ENOTSUP where that cannot be had: a FreeBSD object keeps pages that are being sent,
// and hands them out again (vm_object_page_remove()).
Status RenewPages(int fd, uint64_t offset, size_t length);
bool CanRenewPages();
// Sleeps while *address == expected, at most timeout_ms. 0 woken or changed, -ETIMEDOUT, -errno.
// Works across processes: _umtx_op(2), futex(2).
int WaitOnAddress(uint32_t* address, uint32_t expected, int timeout_ms);
// Wakes at most `count` sleepers. Returns 0 or -errno.
int WakeAddress(uint32_t* address, int count);

}  // namespace rss
