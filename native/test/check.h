// One line per check, and a count at the end.
#pragma once

#include <string>

#include "core/result.h"

namespace rss_test {

void Check(bool passed, const std::string& name, const std::string& detail = "");
void Skip(const std::string& name, const std::string& reason);

// "bind: errno 48 (Address already in use), IP_BINDMULTI, ..."
std::string Describe(const rss::Failure& failure);

template <typename T>
bool CheckOk(const rss::Result<T>& result, const std::string& name) {
  Check(result.ok(), name, Describe(result.failure));
  return result.ok();
}

// True when the result failed with this errno; says what happened instead.
template <typename T>
void CheckFails(const rss::Result<T>& result, int error, const std::string& name) {
  Check(result.failure.error == -error, name,
        result.ok() ? "it succeeded" : Describe(result.failure));
}

// How long a check waits for what must come. A busy machine can take seconds.
constexpr int kPatienceMs = 10000;

// Waits until poll(2) reports one of `events`, kPatienceMs at most.
bool Await(int fd, short events);

size_t Allocations();  // calls of operator new so far

int Summary();  // prints "N passed, N failed, N skipped"; the exit status

// One file each.
void TestCore();
void TestSteeringPrograms();
void TestInterfaces();
void TestCardFlows();
void TestBucketTable();
void TestConfiguration();
void TestSystemValues();
void TestWatchedValues();
void TestAffinity();
void TestOptions();
void TestTcpGroups();
void TestUdpGroups();
void TestReplies();
void TestAllocations();
void TestFlowSockets();
void TestStreams();
void TestDrops();
void TestPendingErrors();
void TestSharedMemory();
void TestSendFile();
void TestAckQueue();
void TestSplicing();

}  // namespace rss_test
