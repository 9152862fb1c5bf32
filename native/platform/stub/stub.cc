// Systems without an implementation: the addon builds and loads; its functions fail with ENOTSUP.
#include <sys/utsname.h>

#include "platform/platform.h"
#include "platform/posix/accept.h"
#include "platform/posix/connect.h"
#include "platform/posix/datagrams.h"
#include "platform/posix/flow_socket.h"
#include "platform/posix/inspect.h"
#include "platform/posix/listener.h"
#include "platform/posix/shm.h"
#include "platform/posix/stream.h"

namespace rss {
namespace {

Failure Unsupported(const char* what) {
  return MakeFailure(ENOTSUP, what, "freebsd-rss serves FreeBSD and Linux");
}

}  // namespace

Result<RssConfig> ReadKernelRssConfig() {
  return Unsupported("sysctlbyname");
}

Result<std::vector<SystemValue>> ReadSystemValues(const std::string&) {
  return Unsupported("sysctl");
}

Result<std::vector<NetworkInterface>> ReadInterfaces() {
  return Unsupported("getifaddrs");
}

Result<CardHash> ReadCardHash(const std::string&) {
  return Unsupported("ioctl");
}

Result<std::vector<QueueCounter>> ReadQueueCounters(const std::string&) {
  return Unsupported("netlink");
}

Result<std::vector<CardCounter>> ReadCardCounters(const std::string&) {
  return Unsupported("ioctl");
}

Result<bool> HasReceiveHash(SocketAddress, const SocketAddress&, const RssKey&) {
  return Unsupported("setsockopt");
}

Capabilities ProbeCapabilities() {
  Capabilities c;
  c.platform = "stub";
  utsname name;
  if (uname(&name) == 0) c.release = name.release;
  c.rss_config = c.listen_bucket_v6 = c.reuse_port_bpf = c.ipv6 = -ENOTSUP;
  for (int& option : c.options) option = -ENOTSUP;
  return c;
}

Result<SocketKind> InspectIpSocket(int) {
  return Unsupported("getsockname");
}
ssize_t ReceiveStream(int, void*, size_t) {
  return -ENOTSUP;
}
ssize_t SendStream(int, const iovec*, int) {
  return -ENOTSUP;
}
Result<UniqueFd> Connect(const Connecting&, const FlowPredictor*) {
  return Unsupported("connect");
}
Result<UniqueFd> ConnectUnix(const std::string&) {
  return Unsupported("connect");
}
int ConnectError(int) {
  return -ENOTSUP;
}
void ResetOnClose(int) {}
bool IsConnected(int) {
  return false;
}
Status ConnectionAddresses(int, SocketAddress*, SocketAddress*) {
  return Unsupported("getsockname");
}
Route PeerRoute(int) {
  return Route::kUnknown;
}
Result<UniqueFd> ListenUnix(const std::string&, int, int) {
  return Unsupported("listen");
}

size_t BuildSegmentControl(uint16_t, void*) {
  return 0;
}
ssize_t ReceiveNow(int, void*, size_t) {
  errno = ENOTSUP;
  return -1;
}
ssize_t SendNow(int, const void*, size_t) {
  errno = ENOTSUP;
  return -1;
}
bool WatchEdges(int, int) {
  return false;
}

Pipe Pipe::Open() {
  return Pipe();
}
ssize_t Pipe::Fill(int, size_t) {
  return -ENOTSUP;
}
ssize_t Pipe::Empty(int) {
  return -ENOTSUP;
}
ssize_t Pipe::Read(uint8_t*, size_t) {
  return -ENOTSUP;
}
bool CanJoinSockets() {
  return false;
}
bool JoinSockets(int, int, double) {
  return false;
}
void LeaveSockets(int) {}
double JoinedBytes(int) {
  return 0;
}

Result<CpuList> ProcessCpus() {
  return Unsupported("getaffinity");
}
Result<CpuList> ThreadAffinity() {
  return Unsupported("getaffinity");
}
Status SetThreadAffinity(const CpuList&) {
  return Unsupported("setaffinity");
}
Result<ThreadUsage> UsageOfThread() {
  return Unsupported("getrusage");
}
Status PinWorker(int) {
  return Unsupported("setaffinity");
}
int CurrentCpu() {
  return -ENOTSUP;
}
std::vector<int> CpuDomains() {
  return {};
}

Status SetOption(int, SocketOption, int) {
  return Unsupported("setsockopt");
}
Result<int> GetOption(int, SocketOption) {
  return Unsupported("getsockopt");
}
int BufferSize(int, Buffer) {
  return 0;
}
int SetBufferSize(int, Buffer, int) {
  return 0;
}
Result<uint32_t> DroppedBySocket(int) {
  return Unsupported("getsockopt");
}
Result<HostDrops> DroppedByHost() {
  return Unsupported("sysctl");
}
Result<int> AcceptQueueLength(int) {
  return Unsupported("getsockopt");
}
Result<KernelFlow> GetKernelFlow(int) {
  return Unsupported("getsockopt");
}
int IncomingCpu(int) {
  return -ENOTSUP;
}
Result<ConnectionBytes> BytesOfConnection(int) {
  return Unsupported("getsockopt");
}
bool CountsBytesOfConnections() {
  return false;
}
SocketOption BalancingOption() {
  return SocketOption::kReusePort;
}
bool BalancesDualStack() {
  return true;
}
Result<UniqueFd> OpenFlowSocket(int, const SocketAddress&) {
  return Unsupported("socket");
}
Status ConnectFlowSocket(int, const SocketAddress&) {
  return Unsupported("connect");
}
int MostQueued(int) {
  return 0;
}
size_t FlowSocketLimit(int) {
  return 0;
}
Status AllowFlowSockets(int) {
  return Unsupported("setsockopt");
}
Status BindBeside(int, int, const SocketAddress&) {
  return Unsupported("bind");
}
bool TakesAllUntilConnected() {
  return false;
}
void LeaveFlow(int) {}
Status AttachReusePortProgram(int, const BpfProgram&) {
  return Unsupported("setsockopt");
}

Status EnableDatagramInfo(int, bool, bool) {
  return Unsupported("setsockopt");
}
DatagramInfo ParseControl(const msghdr&) {
  return {};
}
size_t BuildReplyControl(const SocketAddress*, const SocketAddress&, const KernelFlow&, void*) {
  return 0;
}

ssize_t SendFile(int, const iovec*, int, const FileRange&) {
  return -ENOTSUP;
}
bool HasSyncSend() {
  return false;
}
bool CanAvoidDiskIo(int) {
  return false;
}
size_t BytesInMemory(const FileRange&) {
  return 0;
}
int ReadIntoMemory(const FileRange&) {
  return -ENOTSUP;
}
ssize_t Unacknowledged(int) {
  return -ENOTSUP;
}
size_t BuildAckControl(void*) {
  return 0;
}
bool AckQueue::NeedsEmpty() {
  return false;
}
bool AckQueue::RaisesErrors() {
  return false;
}
bool AckQueue::Open() {
  return false;
}
bool AckQueue::Prepare(int, uint32_t) {
  return false;
}
bool AckQueue::Await(int, uint32_t, bool) {
  return false;
}
size_t AckQueue::Take(uint32_t*, size_t) {
  return 0;
}
EmptyProbe::EmptyProbe() = default;
bool EmptyProbe::Ask(int) {
  return false;
}
ssize_t EmptyProbe::Rest(int) {
  return -ENOTSUP;
}
bool IsPaced(int) {
  return false;
}
void HoldBack(int, bool) {}
Route RouteTo(const SocketAddress&, int) {
  return Route::kUnknown;
}

Result<UniqueFd> CreateAnonymousShm(bool) {
  return Unsupported("shm_open");
}
Status SealSize(int) {
  return Unsupported("fcntl");
}
uint8_t* ReserveAddresses(size_t) {
  errno = ENOTSUP;
  return nullptr;
}
Status ExtendNamedShm(int, size_t, size_t) {
  return Unsupported("ftruncate");
}
void KeepPagesSmall(void*, size_t) {}
void PreferLargePages(void*, size_t) {}
bool HasTransparentLargePages() {
  return false;
}
Status RenewPages(int, uint64_t, size_t) {
  return Unsupported("fallocate");
}
bool CanRenewPages() {
  return false;
}
int WaitOnAddress(uint32_t*, uint32_t, int) {
  return -ENOTSUP;
}
int WakeAddress(uint32_t*, int) {
  return -ENOTSUP;
}

Result<OpenedListener> OpenListener(const ListenerOptions&) {
  return Unsupported("socket");
}
Result<std::vector<OpenedListener>> OpenGroup(const ListenerOptions&, Steering,
                                              const std::vector<GroupMember>&) {
  return Unsupported("socket");
}
Result<OpenedListener> AdoptListener(int, Transport, const BufferRequest&) {
  return Unsupported("getsockopt");
}
Result<UniqueFd> AdoptUnix(int) {
  return Unsupported("getsockopt");
}
Result<UniqueFd> AdoptDescriptor(int) {
  return Unsupported("fcntl");
}
Result<SocketKind> InspectSocket(int) {
  return Unsupported("getsockopt");
}
int AcceptConnection(int, Connection*) {
  return -ENOTSUP;
}
Result<Flow> ConnectedFlow(int, const FlowClassifier&) {
  return Unsupported("getpeername");
}
bool IsConnection(int, const SocketAddress&, const SocketAddress&) {
  return false;
}

struct DatagramBatcher::State {};
DatagramBatcher::DatagramBatcher() = default;
DatagramBatcher::~DatagramBatcher() = default;
int DatagramBatcher::Receive(int, int, uint8_t*, size_t, size_t, ReceivedDatagram*) {
  return -ENOTSUP;
}
int DatagramBatcher::ReceiveConnected(int, int, uint8_t*, size_t, size_t, ReceivedDatagram*) {
  return -ENOTSUP;
}
int DatagramBatcher::Send(int, const OutgoingDatagram*, int) {
  return -ENOTSUP;
}

Segment::Segment(UniqueFd fd, uint8_t* data, const SegmentOptions& options, LargePages large_pages)
    : fd_(std::move(fd)),
      data_(data),
      max_size_(options.max_size),
      named_(false),
      locked_(false),
      large_pages_(large_pages),
      id_(0) {}
Segment::~Segment() = default;
Result<std::shared_ptr<Segment>> Segment::Create(const SegmentOptions&) {
  return Unsupported("shm_open");
}
Result<std::shared_ptr<Segment>> Segment::OpenNamed(const SegmentOptions&) {
  return Unsupported("shm_open");
}
Result<std::shared_ptr<Segment>> Segment::Adopt(UniqueFd, SegmentOptions) {
  return Unsupported("mmap");
}
Status Segment::Unlink(const std::string&) {
  return Unsupported("shm_unlink");
}
Status Segment::Grow(size_t) {
  return Unsupported("ftruncate");
}
Status Segment::Seal() {
  return Unsupported("fcntl");
}
bool Segment::Lock() {
  return false;
}
void Segment::Prefault() {}
std::shared_ptr<Segment> Segment::Find(uint32_t) {
  return nullptr;
}

}  // namespace rss
