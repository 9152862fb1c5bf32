// Self-test of core and platform on the kernel it runs on. Needs no Node, no libuv, no privileges:
//
//   c++ -std=c++17 -I native -o selftest native/core/*.cc native/platform/posix/*.cc
//       native/platform/<freebsd or linux>/*.cc native/test/*.cc -lpthread       (one line)
//
// With -static on FreeBSD 13 and later, weak references to the C library need linker options:
// -Wl,-u,memfd_create,-u,shm_create_largepage,-u,_Unwind_ForcedUnwind,-u,_Unwind_GetCFA
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "test/check.h"

static int OpenDescriptors() {
  int count = 0;
  for (int fd = 0; fd < 4096; ++fd)
    if (fcntl(fd, F_GETFD) >= 0) ++count;
  return count;
}

int main() {
  using namespace rss_test;
  utsname name;
  if (uname(&name) == 0) printf("%s %s %s\n", name.sysname, name.release, name.machine);
  signal(SIGPIPE, SIG_IGN);  // as Node does: see SendFile()
  int before = OpenDescriptors();
  TestCore();
  TestSteeringPrograms();
  TestBucketTable();
  TestConfiguration();
  TestSystemValues();
  TestWatchedValues();
  TestInterfaces();
  TestCardFlows();
  TestAffinity();
  TestOptions();
  TestTcpGroups();
  TestUdpGroups();
  TestReplies();
  TestAllocations();
  TestFlowSockets();
  TestStreams();
  TestDrops();
  TestPendingErrors();
  TestSharedMemory();
  TestSendFile();
  TestAckQueue();
  TestSplicing();
  int after = OpenDescriptors();
  Check(before == after, "no descriptor leaked",
        std::to_string(before) + " before, " + std::to_string(after) + " after");
  return Summary();
}
