// The platform interface, together with the headers of posix. FreeBSD and Linux share the code of
// posix and have a folder each for this file; stub, for all other systems, implements both. No
// Node-API and no libuv here.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <string>
#include <utility>
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
// Their names in JavaScript, in the same order.
constexpr const char* kSocketOptionNames[] = {"bindAny",    "bindMulti",       "listenBucket",
                                              "reusePort",  "reusePortLb",     "reusePortLbNuma",
                                              "recvFlowId", "recvRssBucketId", "recvDestination"};
constexpr size_t kSocketOptions = sizeof kSocketOptionNames / sizeof *kSocketOptionNames;

// The outcome of trying each facility: 0 when it works, else -errno.
struct Capabilities {
  const char* platform = "";
  std::string release;  // uname(3)
  int rss_config = 0;   // net.inet.rss.buckets can be read
  int options[kSocketOptions] = {};
  int listen_bucket_v6 = 0;      // IPV6_RSS_LISTEN_BUCKET
  int reuse_port_bpf = 0;        // SO_ATTACH_REUSEPORT_CBPF
  int ipv6 = 0;                  // IPv6 sockets can be opened
  std::vector<int> cpu_domains;  // NUMA domain of each CPU by its number; -1: no such CPU
  int netisr_threads = 0;        // net.isr.numthreads; 0 where there is no netisr
  bool jailed = false;           // security.jail.jailed

  int option(SocketOption option) const { return options[static_cast<size_t>(option)]; }
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

// --- Network cards ------------------------------------------------------------------------------

struct NetworkInterface {
  std::string name;    // as ifconfig(8) has it: "igb0", or renamed
  std::string device;  // as its driver has it: "igb0"
  std::string kind;    // of one that the kernel creates on request: "lagg"; empty: a card
  bool up = false;
  std::vector<SocketAddress> addresses;
  std::vector<std::string> below;  // ports of a lagg(4), the parent of a vlan(4)
};
// ENOTSUP outside FreeBSD.
Result<std::vector<NetworkInterface>> ReadInterfaces();

// How a card hashes and where that leads, as far as its driver says.
struct CardHash {
  std::vector<uint8_t> key;  // empty: not said
  std::vector<int> table;    // redirection table: receive queues. Empty: not said
  int queues = 0;            // 0: not said
};
// SIOCGIFRSSKEY; Linux: ETHTOOL_GRSSH, ETHTOOL_GRXFHINDIR, ETHTOOL_GRXRINGS.
Result<CardHash> ReadCardHash(const std::string& interface);

struct QueueCounter {
  bool receive = false;
  int queue = 0;
  double packets = 0;
};
// Packets of an interface's queues, where the kernel counts them: Linux 6.9, for some drivers.
// Empty: for others. ENOTSUP elsewhere.
Result<std::vector<QueueCounter>> ReadQueueCounters(const std::string& interface);

// A counter of an interface by the name that its driver gives it: "rx_queue_0_packets".
struct CardCounter {
  std::string name;
  double value = 0;
};
// What `ethtool -S` prints: ETHTOOL_GSTATS of Linux. ENOTSUP where the driver has none, and
// elsewhere.
Result<std::vector<CardCounter>> ReadCardCounters(const std::string& interface);

// Connects from a local address and returns whether the hash that the card has given to the peer's
// answer is by this key. Linux, which tells no hash of a connection; ENOTSUP elsewhere. Waits: a
// second for an answer, and five more if the hash differs.
Result<bool> HasReceiveHash(SocketAddress local, const SocketAddress& peer, const RssKey& key);

// --- CPUs ---------------------------------------------------------------------------------------

// The CPUs that this process may use: cpuset(1), jail, taskset, container.
Result<CpuList> ProcessCpus();
// The CPUs that the calling thread may run on.
Result<CpuList> ThreadAffinity();
// Pins the calling thread. EINVAL names CPUs that the process may not use.
Status SetThreadAffinity(const CpuList& cpus);
// Pins a worker's thread to a CPU. Child processes that it starts may use the process's CPUs.
Status PinWorker(int cpu);
// The CPU that the calling thread runs on, or -errno.
int CurrentCpu();
// The NUMA domain of each CPU by its number; all 0 where the system knows no domains.
std::vector<int> CpuDomains();

struct ThreadUsage {
  double user_us = 0;
  double system_us = 0;
  double voluntary_switches = 0;    // the thread waited
  double involuntary_switches = 0;  // another thread was given its CPU
};
// What the calling thread has used so far: getrusage(2), RUSAGE_THREAD.
Result<ThreadUsage> UsageOfThread();

// --- Socket options -----------------------------------------------------------------------------

// ENOPROTOOPT where this system or kernel does not have the option.
Status SetOption(int fd, SocketOption option, int value);
Result<int> GetOption(int fd, SocketOption option);

enum class Buffer { kReceive, kSend };

// The size of a socket's buffer, in the unit in which it is set: bytes of payload.
int BufferSize(int fd, Buffer which);
// Sets the size to `bytes`, or to what the kernel grants. Returns the new size.
int SetBufferSize(int fd, Buffer which, int bytes);

// How many datagrams a UDP socket, or connection attempts a listener, has dropped since it was
// made, because its queue was full. Wraps at 2^32. ENOTSUP where the kernel counts for the host
// alone.
Result<uint32_t> DroppedBySocket(int fd);

struct HostDrops {
  double datagrams = 0;
  double connections = 0;
};
// The same for all sockets of this host since it booted. ENOTSUP where the kernel counts for each
// socket.
Result<HostDrops> DroppedByHost();
// Connections in the accept queue of a TCP listener.
Result<int> AcceptQueueLength(int fd);

// Flow id and hash type of a connected TCP socket. ENOPROTOOPT where the kernel has none; type 0
// when its packets were not hashed.
Result<KernelFlow> GetKernelFlow(int fd);

// The CPU that has processed the last packet of a connected socket. Negative where the system does
// not say: an errno, or nothing has arrived.
int IncomingCpu(int fd);

struct ConnectionBytes {
  double received = 0;
  double sent = 0;  // and acknowledged, where the kernel counts
};
// Payload of a TCP connection so far: TCP_INFO. ENOTSUP where the kernel does not count it.
Result<ConnectionBytes> BytesOfConnection(int fd);
bool CountsBytesOfConnections();

// --- Steering -----------------------------------------------------------------------------------

// The option that makes the kernel balance flows over the sockets of an address by its own hash.
SocketOption BalancingOption();
// Whether it balances over dual-stack wildcard sockets. FreeBSD never puts one into a
// load-balancing group (in_pcbinslbgrouphash()), so IPv6 and IPv4 need a group each there.
bool BalancesDualStack();
// Attaches a program to an SO_REUSEPORT group through any member. ENOTSUP outside Linux.
Status AttachReusePortProgram(int fd, const BpfProgram& program);

// --- Sockets of single flows (posix/flow_socket.h) -----------------------------------------------

// Lets sockets of single flows share the port of a group's member, which is not bound yet.
Status AllowFlowSockets(int fd);
// Binds a socket to the same port as `bound`.
Status BindBeside(int fd, int bound, const SocketAddress& local);
// Whether such a socket takes the datagrams of all peers until it is connected.
bool TakesAllUntilConnected();
// Makes the kernel give the datagrams of the socket's peer to the bound sockets again. What is
// queued stays.
void LeaveFlow(int fd);

// --- Datagram batches ---------------------------------------------------------------------------

// Room for the control messages of one datagram, received or sent, on both systems.
constexpr size_t kControlSize = 256;

struct DatagramInfo {
  KernelFlow flow;
  int kernel_bucket = -1;  // IP_RSSBUCKETID control message, -1 when absent
  bool has_destination = false;
  SocketAddress destination;  // the address that was sent to, without a port
};

// Makes the kernel deliver the destination address with each datagram, and with `flows` also flow
// id, hash type and bucket, as far as it has them. A socket that is `bound` to one address needs no
// destination, except on FreeBSD, which delivers the flow's messages reliably only beside it.
Status EnableDatagramInfo(int fd, bool bound, bool flows);
DatagramInfo ParseControl(const msghdr& message);
// Writes the control messages that make a reply leave from `source`, unless that is null, and on
// the transmit queue of its flow, where the kernel takes that. Returns their length; 0: none.
size_t BuildReplyControl(const SocketAddress* source, const SocketAddress& peer,
                         const KernelFlow& flow, void* buffer);

// Writes the control message that makes the kernel split a message into datagrams of this size,
// which pass through its layers as one. Returns its length; 0 where the system has none.
size_t BuildSegmentControl(uint16_t datagram_size, void* buffer);

// --- Stream sockets -----------------------------------------------------------------------------

// recv(2) and send(2) that neither wait nor raise SIGPIPE: -1 with errno. On Linux they bypass the
// C library, where both are cancellation points of pthread_cancel(3), which costs more than the
// call.
ssize_t ReceiveNow(int fd, void* buffer, size_t size);
ssize_t SendNow(int fd, const void* bytes, size_t size);

// --- Readiness ----------------------------------------------------------------------------------

// Makes an event queue (libuv's epoll(7) descriptor) report new input on `fd` once, instead of in
// every round until it is read. That saves the kernel two looks at the socket per round. The reader
// must then read until nothing is left. False, and nothing changed, where the system cannot do it.
bool WatchEdges(int queue, int fd);

// --- Sending files and shared memory ------------------------------------------------------------

// What sendfile(2) sends from, and how. A system ignores the flags that it does not have.
struct FileRange {
  int fd = -1;
  uint64_t offset = 0;
  size_t length = 0;        // at least 1
  bool no_disk_io = false;  // EBUSY instead of waiting for the disk: see CanAvoidDiskIo()
  bool no_cache = false;    // SF_NOCACHE: the pages are dropped once they are sent
  bool sync = false;        // SF_SYNC: blocks until nothing refers to the pages
  bool report_ack = false;  // AckQueue reports the acknowledgement of the last byte
  int read_ahead = 0;       // SF_USER_READAHEAD, pages
};

// Sends `headers`, then the range, as far as a non-blocking socket takes them. Returns the bytes of
// both together, or -errno: -EAGAIN when it takes none, -EIO when the file ends before the range.
// The process must ignore SIGPIPE: sendfile(2) has no flag against it.
ssize_t SendFile(int socket, const iovec* headers, int count, const FileRange& range);
// Whether this kernel has FileRange::sync.
bool HasSyncSend();

// Whether SendFile() of this file with `no_disk_io` never waits for the disk. Linux: the file
// system has RWF_NOWAIT. FreeBSD: it is UFS, which sendfile(2) reads without waiting; SF_NODISKIO
// then refuses pages that are in use. From other file systems sendfile(2) reads at once.
bool CanAvoidDiskIo(int file);
// How many bytes at the beginning of the range are certainly in memory. FreeBSD does not tell: 0.
size_t BytesInMemory(const FileRange& range);
// Reads the range into memory, and waits for it. Also starts to read what follows, as much again.
// Returns 0, also where the file ends before the range, or -errno.
int ReadIntoMemory(const FileRange& range);

// Bytes that a stream socket has taken and its peer has not acknowledged, never too few: SIOCOUTQ,
// FIONSPACE. For a Unix socket on Linux, the memory of what the peer has not read.
ssize_t Unacknowledged(int socket);

// Finds out whether a socket's send buffer is empty: its bytes were acknowledged, or discarded.
class EmptyProbe {
 public:
  EmptyProbe();
  bool Ask(int socket);
  // Unacknowledged(), or 0 when Ask() says so.
  ssize_t Rest(int socket);

 private:
  UniqueFd queue_;  // FreeBSD: a kqueue(2) of its own, for EVFILT_EMPTY (12+)
};

// Writes the control message that makes the kernel report the acknowledgement of a message's last
// byte. Returns its length; 0 where the system needs none.
size_t BuildAckControl(void* buffer);

// Reports TCP sockets whose peers have acknowledged output. A report can be about less than what is
// waited for, or come twice, so Unacknowledged() decides. Input that fills a receive buffer can
// prevent a report on Linux. Events of the connection are therefore occasions to look, too.
class AckQueue {
 public:
  // Whether a report comes only once all output is acknowledged (FreeBSD), and not for each output
  // that is sent with `report_ack` (Linux).
  static bool NeedsEmpty();
  // Whether a socket has POLLERR while there is a report about it (Linux).
  static bool RaisesErrors();

  // False where the kernel reports nothing.
  bool Open();
  // Readable while there are reports.
  int fd() const { return queue_.get(); }
  // Must be called once for a socket, before it sends with `report_ack`. The socket stays in the
  // queue until it is closed.
  bool Prepare(int socket, uint32_t id);
  // Begins to wait for the acknowledgement of all output so far. `reported`: the last of it was
  // sent with `report_ack`. False: there will be no report.
  bool Await(int socket, uint32_t id, bool reported);
  // Takes at most `most` reports: the ids of sockets.
  size_t Take(uint32_t* ids, size_t most);

 private:
  UniqueFd queue_;  // epoll(7), kqueue(2)
};

// --- Splicing -----------------------------------------------------------------------------------

// A pipe(2) that splice(2) moves bytes through, from one socket to another. Only Linux has it.
class Pipe {
 public:
  // Converts to false when there is none to have.
  static Pipe Open();

  Pipe() = default;
  Pipe(Pipe&& other) noexcept { *this = std::move(other); }
  Pipe& operator=(Pipe&& other) noexcept {
    in_ = std::move(other.in_);
    out_ = std::move(other.out_);
    held_ = std::exchange(other.held_, 0);
    return *this;
  }

  explicit operator bool() const { return static_cast<bool>(in_); }
  size_t held() const { return held_; }

  // Moves what a socket has received into the pipe, which must be empty: `most` bytes, or as many
  // as fit. Returns their number, 0 at the end of the stream, or -errno; -EAGAIN when there are
  // none, -EINVAL when the socket cannot be spliced.
  ssize_t Fill(int socket, size_t most);
  // Moves what the pipe holds into a socket. Returns the number of bytes, or -errno. The process
  // must ignore SIGPIPE.
  ssize_t Empty(int socket);
  // Takes bytes out of the pipe. Returns their number, or -errno.
  ssize_t Read(uint8_t* to, size_t size);

 private:
  UniqueFd in_, out_;
  size_t held_ = 0;
};

// Whether the kernel can forward what one TCP socket receives to another on its own: SO_SPLICE,
// FreeBSD 15+.
bool CanJoinSockets();
// Begins that, up to `most` bytes. From then on, `from` is readable only once the kernel has
// stopped, for input that it does not forward or the end of the stream. Until then AckQueue reports
// nothing about `to`: sowwakeup_locked() wakes the splice alone (15.0). False: it does not.
bool JoinSockets(int from, int to, double most);
// Stops it. Harmless when the kernel has stopped.
void LeaveSockets(int from);
// Bytes forwarded since JoinSockets().
double JoinedBytes(int from);

// Whether the kernel paces this connection's packets by a timer (Linux: BBR). Over loopback, the
// bursts of sendfile(2) then wait for timers, which costs more than to copy them.
bool IsPaced(int socket);

// Makes a TCP connection hold back what does not fill a packet, or send it: TCP_CORK, TCP_NOPUSH.
void HoldBack(int socket, bool hold);

// Where packets to an address go. kElsewhere: by a physical device to another machine, so that no
// process of this host can still refer to pages once they are acknowledged. kHere: the address is
// one of this host. kVirtual: by a virtual interface (veth, bridge, epair, VLAN), perhaps to this
// host. kUnknown: there is no route, or the kernel does not say. kPending: it has not answered yet.
enum class Route { kUnknown, kPending, kHere, kVirtual, kElsewhere };
// Waits for the kernel's answer for `wait_ms` at most; -1 has no limit. After kPending, a later
// call with the same peer on the same thread finds the answer.
Route RouteTo(const SocketAddress& peer, int wait_ms);

// --- Shared memory and waiting ------------------------------------------------------------------

// An anonymous POSIX shared memory object: SHM_ANON, or memfd_create(2). It cannot be shrunk, where
// the system has such a seal. `large_pages`: pages of kLargePage bytes, or an error.
Result<UniqueFd> CreateAnonymousShm(bool large_pages);
constexpr size_t kLargePage = 2 << 20;
// Extends a named object of `from` bytes. ENOSPC where its file system is full (Linux: /dev/shm):
// the first use of such memory would end the process.
Status ExtendNamedShm(int fd, size_t from, size_t to);
// Fixes the size of an object for good: F_SEAL_GROW, F_SEAL_SHRINK; FreeBSD 13+.
Status SealSize(int fd);
// Addresses that nothing else will be mapped to, aligned to kLargePage when `size` is that large.
// Null with errno.
uint8_t* ReserveAddresses(size_t size);

// Makes the kernel use ordinary pages for a mapping. Part of a larger page cannot be renewed while
// it is being sent: Linux zeroes it in place.
void KeepPagesSmall(void* at, size_t length);
// Asks the kernel to back a mapping of ordinary shared memory by large pages as far as it can.
void PreferLargePages(void* at, size_t length);
// Whether the system does so: transparent huge pages of Linux, superpages of FreeBSD.
bool HasTransparentLargePages();
// Replaces whole pages of an object by fresh zeros. Old pages that are being sent stay as they are.
// ENOTSUP on FreeBSD: an object keeps pages that are being sent, and maps them again
// (vm_object_page_remove()).
Status RenewPages(int fd, uint64_t offset, size_t length);
bool CanRenewPages();
// Sleeps while *address == expected, for timeout_ms at most. 0: woken, or the value differs;
// -ETIMEDOUT or another -errno. Works across processes: _umtx_op(2), futex(2).
int WaitOnAddress(uint32_t* address, uint32_t expected, int timeout_ms);
// Wakes at most `count` sleepers. Returns 0 or -errno.
int WakeAddress(uint32_t* address, int count);

}  // namespace rss
