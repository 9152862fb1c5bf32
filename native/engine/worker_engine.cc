#include "engine/worker_engine.h"

namespace rss {

WorkerEngine::WorkerEngine(const EngineContext& context, const WorkerOptions& options,
                           WorkerSink* sink)
    : context_(context),
      misdirections_(context_, options.count_misdirected),
      inbox_(context_),
      sockets_(context_),
      pending_(context_, &sockets_, &inbox_, sink),
      sampler_(context_, options.streams == nullptr ? &pending_ : options.streams),
      acceptor_(context_, options.accept, &misdirections_, &sampler_, sink),
      datagrams_(context_, options.datagrams, &misdirections_, &sampler_, sink) {}

Status WorkerEngine::CheckOpen(const char* call) const {
  if (closed_) return MakeFailure(EBADF, call, "the worker is closed");
  return Nothing{};
}

Status WorkerEngine::AddListener(int fd) {
  Status open = CheckOpen("adopt");
  return open.ok() ? acceptor_.AddListener(fd) : open;
}

Status WorkerEngine::AddDatagramSocket(int fd, int endpoint, bool receive) {
  Status open = CheckOpen("adopt");
  return open.ok() ? datagrams_.AddSocket(fd, endpoint, receive) : open;
}

Result<uint32_t> WorkerEngine::ConnectDatagrams(const Connecting& how) {
  Status open = CheckOpen("connect");
  if (!open.ok()) return open.failure;
  return datagrams_.Connect(how);
}

Status WorkerEngine::Start() {
  Status status = CheckOpen("start");
  if (status.ok()) status = acceptor_.Start();
  if (status.ok()) status = datagrams_.Start();
  if (status.ok()) inbox_.Start(&sampler_, &datagrams_);
  return status;
}

void WorkerEngine::SetHandOff(bool connections, bool unhashed, bool datagrams) {
  if (stopping_) return;
  acceptor_.SetHandOff(connections, unhashed);
  datagrams_.SetForwarding(datagrams);
}

void WorkerEngine::StopAccepting(bool queued) {
  if (closed_) return;
  stopping_ = true;
  acceptor_.Stop(queued);
  if (!queued) datagrams_.StopReceiving();
  // The owners of other buckets may end before this worker.
  datagrams_.SetForwarding(false);
}

void WorkerEngine::Close() {
  if (closed_) return;
  closed_ = true;
  inbox_.Close();
  acceptor_.Close();
  datagrams_.Close();
  sockets_.Close();
  pending_.Close();
}

}  // namespace rss
