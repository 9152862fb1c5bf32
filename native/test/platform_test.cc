// Configuration, CPUs, socket options, shared memory: what this kernel reports.
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "platform/platform.h"
#include "platform/posix/datagrams.h"
#include "platform/posix/inspect.h"
#include "platform/posix/listener.h"
#include "platform/posix/shm.h"
#include "test/check.h"

namespace rss_test {
namespace {

using namespace rss;

UniqueFd Socket(int family, int type) {
  return UniqueFd(socket(family, type | SOCK_CLOEXEC, 0));
}

bool EndsWith(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// The only value of a name; empty: there is none.
std::string SystemText(const std::string& name) {
  auto values = ReadSystemValues(name);
  return values.value.size() == 1 ? values.value[0].text : "";
}

bool IsNumber(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

// What lib/rss/card/queues.ts and cli/watch/queue-packets.ts need of a card: the CPU of each
// receive queue of iflib(4), and the values that count packets of a queue.
void CheckQueues(const NetworkInterface& card, long cpus) {
  const size_t unit = card.device.find_last_not_of("0123456789") + 1;
  const std::string node = "dev." + card.device.substr(0, unit) + "." + card.device.substr(unit);
  auto values = ReadSystemValues(node);
  if (!CheckOk(values, "values of " + node + " are read")) return;
  Check(!SystemText(node + ".%desc").empty(), "one of them describes the card");
  std::string wrong;
  int counters = 0, queues = 0;
  for (const SystemValue& value : values.value) {
    if (value.name.find('q', node.size()) == std::string::npos) continue;
    bool counts = false;
    for (const char* end : {"packets", "_pkts", ".count", ".rxcsum"})
      counts = counts || EndsWith(value.name, end);
    bool places = value.name.find(".iflib.rxq") == node.size() && EndsWith(value.name, ".cpu");
    counters += counts ? 1 : 0;
    queues += places ? 1 : 0;
    bool right = IsNumber(value.text) && (counts || std::stol(value.text) < cpus);
    if ((counts || places) && !right) wrong += " " + value.name + "=" + value.text;
  }
  Check(wrong.empty(),
        std::to_string(counters) + " values of " + node + " count packets of its queues, " +
            std::to_string(queues) + " say their CPU",
        wrong);
}

// Most drivers do not know the question.
void CheckKey(const std::string& card) {
  auto hash = ReadCardHash(card);
  if (!hash.ok()) {
    const int error = hash.failure.error;
    Check(error == -EINVAL || error == -EOPNOTSUPP || error == -ENXIO, card + " tells no hash key",
          Describe(hash.failure));
    printf("        %s\n", Describe(hash.failure).c_str());
    return;
  }
  const size_t length = hash.value.key.size();
  Check(length == 0 || length >= sizeof(RssKey), card + " tells its hash key",
        std::to_string(length) + " bytes");
}

// Each line as parseInterrupts() of cli/watch/freebsd.ts takes it: "irq25: igb0:rxq1:53
// @cpu1(domain0): 1234".
void CheckInterrupts(const std::string& text) {
  std::string wrong;
  int right = 0;
  for (size_t at = 0, end; at < text.size(); at = end + 1) {
    end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    int irq, number, cpu, domain;
    long count;
    size_t after = line.rfind(':', line.rfind(" @cpu"));
    bool whole = after != std::string::npos && sscanf(line.c_str(), "irq%d: ", &irq) == 1 &&
                 sscanf(line.c_str() + after, ":%d @cpu%d(domain%d): %ld", &number, &cpu, &domain,
                        &count) == 4;
    right += whole ? 1 : 0;
    if (!whole) wrong += " " + line;
  }
  Check(right > 0 && wrong.empty(),
        "hw.intrs says the CPU of interrupts, of " + std::to_string(right), wrong);
}

}  // namespace

void TestConfiguration() {
  Capabilities c = ProbeCapabilities();
  printf("        %s %s: rss %d", c.platform, c.release.c_str(), c.rss_config);
  for (size_t i = 0; i < kSocketOptions; ++i)
    printf(", %s %d", kSocketOptionNames[i], c.options[i]);
  printf(", listenBucketV6 %d, bpf %d, ipv6 %d, %d netisr thread(s)%s\n", c.listen_bucket_v6,
         c.reuse_port_bpf, c.ipv6, c.netisr_threads, c.jailed ? ", jailed" : "");
  auto config = ReadKernelRssConfig();
  if (!config.ok()) {
    bool absent = config.failure.error == -ENOENT || config.failure.error == -ENOTSUP;
    Check(absent && !config.failure.detail.empty() && c.rss_config == config.failure.error,
          "no RSS configuration, and the reason is said", Describe(config.failure));
    return;
  }
  const RssConfig& rss = config.value;
  std::string map;
  for (int cpu : rss.bucket_to_cpu) map += " " + std::to_string(cpu);
  printf("        %d buckets on CPUs%s, hash %d, key %s\n", rss.buckets(), map.c_str(),
         static_cast<int>(rss.algorithm), rss.key_readable ? "read" : "not readable");
  Check(rss.kernel && c.rss_config == 0, "the kernel's RSS configuration");
  auto cpus = ProcessCpus();
  RssConfig derived = VirtualRssConfig(cpus.value, -1, "");
  Check(static_cast<int>(cpus.value.size()) != rss.ncpus ||
            (derived.bits == rss.bits && derived.bucket_to_cpu == rss.bucket_to_cpu),
        "the virtual configuration is what this kernel derives");
  Check(rss.key_readable == (geteuid() == 0), "the key is readable by root alone");
  Check(rss.key == kDefaultKey, "the key is the default one");
}

void TestSystemValues() {
  auto cards = ReadSystemValues("hw.ncpu");
  if (cards.failure.error == -ENOTSUP) {
    Skip("system values", Describe(cards.failure));
    return;
  }
  Check(cards.ok() && cards.value.size() == 1 && std::stoi(cards.value[0].text) > 0,
        "a system value is read", Describe(cards.failure));
  auto tree = ReadSystemValues("net.isr");
  bool dispatch = false;
  for (const SystemValue& value : tree.value)
    dispatch = dispatch || (value.name == "net.isr.dispatch" && !value.text.empty());
  Check(tree.ok() && dispatch, "all values beneath a name are read",
        std::to_string(tree.value.size()));
  CheckFails(ReadSystemValues("hw.no_such_name"), ENOENT, "an absent name is refused");
}

// What freebsd-rss watch reads with sysctl(8).
void TestWatchedValues() {
  auto interfaces = ReadInterfaces();
  if (interfaces.failure.error == -ENOTSUP)
    return Skip("watched values", Describe(interfaces.failure));
  std::string ticks = SystemText("kern.cp_times");
  long numbers = 1 + std::count(ticks.begin(), ticks.end(), ' ');
  long cpus = std::stol("0" + SystemText("hw.ncpu"));
  Check(!ticks.empty() && numbers % 5 == 0 && numbers >= 5 * cpus,
        "kern.cp_times has five numbers for each CPU", ticks);
  std::string switches = SystemText("vm.stats.sys.v_swtch");
  Check(std::stol("0" + switches) > 0, "vm.stats.sys.v_swtch counts context switches", switches);
  std::string interrupts = SystemText("hw.intrs");
  if (interrupts.empty())
    Skip("hw.intrs", "releases before 12.2 have none");
  else
    CheckInterrupts(interrupts);
  bool found = false;
  for (const NetworkInterface& one : interfaces.value) {
    if (!one.kind.empty()) continue;
    found = true;
    CheckQueues(one, cpus);
    CheckKey(one.name);
  }
  if (!found) Skip("packets of queues", "no network card");
}

void TestInterfaces() {
  auto interfaces = ReadInterfaces();
  if (interfaces.failure.error == -ENOTSUP) {
    Skip("interfaces", Describe(interfaces.failure));
    return;
  }
  if (!CheckOk(interfaces, "interfaces are read")) return;
  bool loopback = false;
  for (const NetworkInterface& one : interfaces.value) {
    bool local = false;
    for (const SocketAddress& address : one.addresses)
      local = local || address.Host() == "127.0.0.1";
    loopback = loopback || (local && one.kind == "lo" && one.up);
    std::string what = one.kind.empty() ? "a card" : one.kind;
    for (const std::string& below : one.below) what += " " + below;
    printf("        %s, device %s: %s\n", one.name.c_str(), one.device.c_str(), what.c_str());
  }
  Check(loopback, "127.0.0.1 is an address of a loopback interface");
  auto hash = ReadCardHash("lo0");
  Check(!hash.ok() || hash.value.key.empty(), "a loopback interface has no hash key");
}

void TestAffinity() {
  auto process = ProcessCpus();
  if (!CheckOk(process, "CPUs of the process: " + FormatCpuList(process.value))) return;
  Check(!process.value.empty(), "the process may use a CPU");
  std::vector<int> domains = CpuDomains();
  std::string text;
  bool known = true;
  for (int cpu : process.value) {
    known = known && cpu < static_cast<int>(domains.size()) && domains[cpu] >= 0;
    if (known) text += " " + std::to_string(domains[cpu]);
  }
  Check(known, "the NUMA domain of every CPU is known:" + text);
  std::thread([&] {
    for (int cpu : process.value) {
      std::string name = "pinned to CPU " + std::to_string(cpu);
      if (!CheckOk(SetThreadAffinity({cpu}), name)) continue;
      auto now = ThreadAffinity();
      Check(now.ok() && now.value == CpuList({cpu}) && CurrentCpu() == cpu, name + ": it is there",
            FormatCpuList(now.value) + ", on CPU " + std::to_string(CurrentCpu()));
    }
    Check(SetThreadAffinity(process.value).ok() && ThreadAffinity().value == process.value,
          "unpinned again");
    Check(!SetThreadAffinity({}).ok(), "no CPU at all is refused");
    for (int absent : {63, 200, 300, 1500, 60000}) {
      // It exists, though the process may not be allowed to use it.
      if (absent < sysconf(_SC_NPROCESSORS_CONF)) continue;
      auto status = SetThreadAffinity({absent});
      Check(!status.ok() && status.failure.detail.find(std::to_string(absent)) != std::string::npos,
            "absent CPU " + std::to_string(absent) + " is refused and named",
            Describe(status.failure));
      CpuList mixed = {process.value[0], absent};
      Check(!SetThreadAffinity(mixed).ok(), "so is it beside a present one");
    }
  }).join();
  std::thread([] {
    auto before = UsageOfThread();
    if (!CheckOk(before, "CPU time and context switches of a thread")) return;
    auto used = [](const ThreadUsage& usage) { return usage.user_us + usage.system_us; };
    double now = used(*before);
    while (now == used(*before)) now = used(UsageOfThread().value);
    Check(now > used(*before), "the thread's CPU time grows while it works");
    auto waited = UsageOfThread();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    Check(UsageOfThread().value.voluntary_switches > waited.value.voluntary_switches,
          "a wait counts as a voluntary switch");
  }).join();
  Check(ProcessCpus().value == process.value, "a pinned thread leaves the process's CPUs alone");
}

void TestOptions() {
  Capabilities c = ProbeCapabilities();
  for (int family : {AF_INET, AF_INET6}) {
    if (family == AF_INET6 && c.ipv6 != 0) {
      Skip("socket options, IPv6", "no IPv6");
      continue;
    }
    for (size_t i = 0; i < kSocketOptions; ++i) {
      auto option = static_cast<SocketOption>(i);
      if (option == SocketOption::kReusePortLbNuma) continue;  // only for members of groups
      bool listener = option == SocketOption::kListenBucket;
      UniqueFd fd = Socket(family, listener ? SOCK_STREAM : SOCK_DGRAM);
      std::string name = family == AF_INET ? "IPv4 " : "IPv6 ";
      name += kSocketOptionNames[i];
      auto set = SetOption(fd.get(), option, listener ? 0 : 1);
      Check(set.failure.error == c.options[i],
            name + (c.options[i] == 0 ? " can be set" : " is refused as probed"),
            Describe(set.failure));
      if (!set.ok() || listener) continue;
      auto value = GetOption(fd.get(), option);
      Check(value.ok() && value.value != 0, name + " reads back", Describe(value.failure));
      Check(SetOption(fd.get(), option, 0).ok() && GetOption(fd.get(), option).value == 0,
            name + " can be cleared");
    }
    if (c.option(SocketOption::kListenBucket) == 0) {
      int buckets = ReadKernelRssConfig().value.buckets();
      UniqueFd fd = Socket(family, SOCK_STREAM);
      CheckFails(SetOption(fd.get(), SocketOption::kListenBucket, buckets), EINVAL,
                 "a bucket out of range is EINVAL");
      CheckFails(GetOption(fd.get(), SocketOption::kListenBucket), ENOPROTOOPT,
                 "the listen bucket cannot be read");
    }
  }
  if (c.option(SocketOption::kReusePortLbNuma) == 0) {
    UniqueFd fd = Socket(AF_INET, SOCK_STREAM);
    Check(!SetOption(fd.get(), SocketOption::kReusePortLbNuma, 0).ok(),
          "a socket outside a group has no NUMA domain");
  }
  CheckFails(SetOption(-1, SocketOption::kReusePort, 1), EBADF,
             "an option of no descriptor is EBADF");
  CheckFails(GetOption(-1, SocketOption::kReusePort), EBADF, "reading it too");
  Check(!GetKernelFlow(-1).ok(), "the flow of no descriptor is an error");
  CheckFails(InspectSocket(-1), EBADF, "no descriptor is no socket");
  CheckFails(InspectSocket(UniqueFd(open("/dev/null", O_RDONLY)).get()), ENOTSOCK,
             "a file is no socket");
  UniqueFd local = Socket(AF_UNIX, SOCK_STREAM);
  CheckFails(InspectIpSocket(local.get()), EPROTOTYPE, "a Unix socket is neither TCP nor UDP");
}

namespace {

OpenedListener Listen(Transport transport, int backlog) {
  ListenerOptions options;
  options.transport = transport;
  options.address = ParseAddress("127.0.0.1", 0).value;
  options.backlog = backlog;
  options.buffers.exact.receive = transport == Transport::kUdp ? 4096 : 0;
  return std::move(OpenListener(options).value);
}

// What a socket, or else the host, has dropped.
double Dropped(int fd, bool tcp) {
  auto own = DroppedBySocket(fd);
  if (own.ok()) return *own;
  HostDrops host = DroppedByHost().value;
  return tcp ? host.connections : host.datagrams;
}

}  // namespace

void TestDrops() {
  OpenedListener udp = Listen(Transport::kUdp, 0);
  auto own = DroppedBySocket(udp.fd.get());
  auto host = DroppedByHost();
  Check(own.ok() != host.ok(),
        own.ok() ? "losses are counted for each socket" : "losses are counted for the host",
        Describe(own.failure) + "; " + Describe(host.failure));
  double before = Dropped(udp.fd.get(), false);
  UniqueFd client = Socket(AF_INET, SOCK_DGRAM);
  char payload[1000] = {};
  int sent = 0;
  for (; sent < 10000 && Dropped(udp.fd.get(), false) == before; ++sent)
    (void)!sendto(client.get(), payload, sizeof payload, 0, &udp.address.sa, udp.address.length());
  Check(Dropped(udp.fd.get(), false) > before,
        "a datagram that a full receive buffer refuses is counted", std::to_string(sent) + " sent");

  OpenedListener tcp = Listen(Transport::kTcp, 1);
  before = Dropped(tcp.fd.get(), true);
  std::vector<UniqueFd> clients;
  // A client may be refused a little later than it asks.
  for (int tries = 0; tries < 200 && Dropped(tcp.fd.get(), true) == before; ++tries) {
    if (clients.size() < 20) {
      clients.push_back(Socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
      (void)!connect(clients.back().get(), &tcp.address.sa, tcp.address.length());
    }
    usleep(10000);
  }
  Check(Dropped(tcp.fd.get(), true) > before,
        "a connection attempt that a full accept queue refuses is counted");
  auto waiting = AcceptQueueLength(tcp.fd.get());
  Check(waiting.ok() && *waiting > 0, "connections that wait are counted",
        Describe(waiting.failure));
  Check(!DroppedBySocket(-1).ok() && !AcceptQueueLength(-1).ok(), "no descriptor has no counters");
}

// An ICMP error is reported once, by the next call, which does nothing else.
void TestPendingErrors() {
  SocketAddress closed = Listen(Transport::kUdp, 0).address;
  UniqueFd fd = Socket(AF_INET, SOCK_DGRAM);
  if (connect(fd.get(), &closed.sa, closed.length()) != 0) {
    Check(false, "connecting to a closed port", strerror(errno));
    return;
  }
  DatagramBatcher batcher;
  std::vector<uint8_t> slab(kDatagramBatch * 128);
  std::vector<ReceivedDatagram> rows(kDatagramBatch);
  OutgoingDatagram datagram;
  datagram.data = "ping";
  datagram.length = 4;
  auto send = [&] { return batcher.Send(fd.get(), &datagram, 1); };
  auto refuse = [&] { return send() == 1 && Await(fd.get(), POLLIN | POLLERR); };
  Check(refuse() && send() == -ECONNREFUSED, "a pending ICMP error takes the place of sending");
  Check(send() == 1, "the datagram is sent the second time");
  if (!Await(fd.get(), POLLIN | POLLERR)) return Check(false, "its ICMP error comes");
  CheckFails(NextFlow(fd.get()), ECONNREFUSED, "looking at the next datagram reports an error");
  int received = 0;
  if (refuse())
    received = batcher.ReceiveConnected(fd.get(), 0, slab.data(), 128, 100, rows.data());
  Check(received == -ECONNREFUSED, "receiving reports an error", std::to_string(received));
  CheckFails(NextFlow(fd.get()), EAGAIN, "and clears it");
}

void TestSharedMemory() {
  SegmentOptions options;
  options.size = 1 << 20;
  options.max_size = 8 << 20;
  options.lock = true;
  auto created = Segment::Create(options);
  if (!CheckOk(created, "shared memory segment")) return;
  std::shared_ptr<Segment> segment = created.value;
  uint32_t id = segment->id();
  Check(Segment::Find(id) == segment && Segment::Find(id + 1000) == nullptr,
        "segments are found by id");
  auto* words = reinterpret_cast<uint32_t*>(segment->data());
  Check(words[0] == 0 && words[(1 << 18) - 1] == 0, "it is zeroed");

  Check(WaitOnAddress(words, 1, 1000) == 0, "a wait for a value that has changed returns at once");
  timespec before, after;
  clock_gettime(CLOCK_MONOTONIC, &before);
  int r = WaitOnAddress(words, 0, 50);
  clock_gettime(CLOCK_MONOTONIC, &after);
  double elapsed = (after.tv_sec - before.tv_sec) * 1e3 + (after.tv_nsec - before.tv_nsec) / 1e6;
  Check(r == -ETIMEDOUT && elapsed >= 45, "a wait times out", std::to_string(r));
  std::atomic<bool> woken{false};
  std::thread sleeper([&] {
    while (__atomic_load_n(words, __ATOMIC_SEQ_CST) == 0) WaitOnAddress(words, 0, 10000);
    woken = true;
  });
  usleep(20000);
  __atomic_store_n(words, 1u, __ATOMIC_SEQ_CST);
  Check(WakeAddress(words, 1) == 0, "a sleeper is woken");
  sleeper.join();
  Check(woken, "and goes on");

  printf("        locked: %s\n", segment->locked() ? "yes" : "no");
  uint8_t* data = segment->data();
  Check(segment->Grow(5 << 20).ok() && segment->size() == 5 << 20 && segment->data() == data &&
            words[0] == 1 && data[(5 << 20) - 1] == 0,
        "it grows where it lies");
  CheckFails(segment->Grow(9 << 20), ENOMEM, "not beyond what is reserved");
  segment->Prefault();
  Check(words[0] == 1, "faulting its pages in changes nothing");
  Status sealed = segment->Seal();
  if (sealed.ok())
    CheckFails(segment->Grow(6 << 20), EPERM, "a sealed segment does not grow");
  else
    Skip("sealing", Describe(sealed.failure));
  data[1 << 20] = 7;
  Status renewed = RenewPages(segment->fd(), 1 << 20, 65536);
  Check(renewed.ok() == CanRenewPages() && data[1 << 20] == (CanRenewPages() ? 0 : 7),
        "pages are renewed, or it is said that they cannot be", Describe(renewed.failure));
  KeepPagesSmall(data, 1 << 20);
  PreferLargePages(data, 1 << 20);
  Check(words[0] == 1, "asking for small or large pages changes nothing");
  printf("        transparent large pages: %s\n", HasTransparentLargePages() ? "yes" : "no");
  segment.reset();
  created.value.reset();
  Check(Segment::Find(id) == nullptr, "the mapping ends with its last user");

  uint8_t* reserved = ReserveAddresses(2 * kLargePage);
  Check(reserved != nullptr && reinterpret_cast<uintptr_t>(reserved) % kLargePage == 0,
        "addresses are reserved, and aligned");
  if (reserved != nullptr) munmap(reserved, 2 * kLargePage);

  options.large_pages = true;
  created = Segment::Create(options);
  if (CheckOk(created, "a segment of large pages, if there are any")) {
    printf("        large pages: %s\n", created.value->large_pages() ? "yes" : "no");
    created.value->data()[options.size - 1] = 1;
    bool locked = created.value->Lock();
    Check(locked == created.value->locked() && created.value->data()[options.size - 1] == 1,
          "it is locked, unless the system refuses");
  }
  created.value.reset();

  SegmentOptions named;
  named.size = 12345;
  named.name = "/rss-selftest-" + std::to_string(getpid());
  auto made = Segment::Create(named);
  if (!CheckOk(made, "a named segment")) return;
  CheckFails(Segment::Create(named), EEXIST, "its name is taken");
  auto opened = Segment::OpenNamed(named);
  made.value->data()[12344] = 9;
  Check(opened.ok() && opened.value->size() == 12345 && opened.value->data()[12344] == 9,
        "it is opened by its name", Describe(opened.failure));
  Check(Segment::Unlink(named.name).ok(), "its name is removed");
  CheckFails(Segment::OpenNamed(named), ENOENT, "and it cannot be opened by it");
}

}  // namespace rss_test
