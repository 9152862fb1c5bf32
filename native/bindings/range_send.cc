// Sends a range of a segment or a file on a socket that somebody else owns: for net.Socket.
#include "bindings/range_send.h"

#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <mutex>

#include "bindings/callback.h"
#include "core/byte_queue.h"
#include "engine/handle.h"
#include "engine/send_source.h"
#include "platform/posix/stream.h"

namespace rss {
namespace {

// Of one range so much goes out before others have their turn.
constexpr size_t kMostSent = 2 * 1024 * 1024;

// What is left to send, and where to.
struct Rest {
  UniqueFd socket;  // a duplicate: the owner's is in its own hands, and in the event queue
  ByteQueue header;
  SendSource source;
  uint64_t offset = 0;
  size_t length = 0;
  bool share = true;    // a segment by sendfile(2), rather than copied
  bool shared = false;  // pages of the source have been sent

  // 0 when all has been sent, -EAGAIN when the socket takes no more just now, or -errno.
  int Send() {
    for (size_t budget = kMostSent; header.size() + length > 0;) {
      if (budget == 0) return -EAGAIN;
      ssize_t sent = SendOnce();
      if (sent < 0) return static_cast<int>(sent);
      size_t head = std::min(static_cast<size_t>(sent), header.size());
      size_t body = static_cast<size_t>(sent) - head;
      header.Consume(head);
      offset += body;
      length -= body;
      budget -= std::min(budget, static_cast<size_t>(sent));
    }
    return 0;
  }

 private:
  ssize_t SendOnce() {
    iovec parts[2] = {{const_cast<uint8_t*>(header.data()), header.size()}, {}};
    int count = header.empty() ? 0 : 1;
    if (length == 0) return SendStream(socket.get(), parts, count);
    bool by_sendfile = false;
    ssize_t sent = source.Send(socket.get(), parts, count, offset, length, share, &by_sendfile);
    shared = shared || by_sendfile;
    return sent;
  }
};

// What a helper thread, which may be blocked for as long as a peer likes, shares with its sender.
struct Helper {
  std::mutex mutex;
  uv_async_t* async = nullptr;  // null once the sender has gone
  bool running = true;
  int result = 0;
};

class RangeSend : public Napi::ObjectWrap<RangeSend> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "RangeSend",
                       {InstanceMethod<&RangeSend::Start>("start"),
                        InstanceMethod<&RangeSend::Unacknowledged>("unacknowledged"),
                        InstanceMethod<&RangeSend::Reusable>("reusable"),
                        InstanceMethod<&RangeSend::Close>("close")});
  }

  // new RangeSend({ segment | file, offset, length, copy, noDiskIo, noCache, readAhead, sync,
  // header }, done(errno))
  explicit RangeSend(const Napi::CallbackInfo& info)
      : ObjectWrap(info),
        env_(info.Env()),
        callback_(info.Env(), "RssRangeSend"),
        poll_(this),
        async_(this) {
    auto range = info[0].As<Napi::Object>();
    done_ = Napi::Persistent(info[1].As<Napi::Function>());
    SendSource& source = rest_.source;
    source.segment = Segment::Find(static_cast<uint32_t>(IntFromJs(range.Get("segment"))));
    if (source.segment == nullptr)
      source.file.reset(fcntl(IntFromJs(range.Get("file")), F_DUPFD_CLOEXEC, 0));
    rest_.share = !BoolFromJs(range.Get("copy"));
    rest_.offset = static_cast<uint64_t>(NumberFromJs(range.Get("offset")));
    rest_.length = static_cast<size_t>(NumberFromJs(range.Get("length")));
    ReadFlags(range, &source.how);
    source.how.sync = BoolFromJs(range.Get("sync"));
    auto header = ElementsFromJs<uint8_t>(range.Get("header"));
    if (header.data != nullptr) rest_.header.Append(header.data, header.length);
    if (source.segment == nullptr && !source.file) failure_ = LastError("dup");
    napi_add_env_cleanup_hook(env_, CleanUp, this);
    hooked_ = true;
  }
  ~RangeSend() override { Release(); }

 private:
  static void CleanUp(void* self) {
    auto* send = static_cast<RangeSend*>(self);
    send->hooked_ = false;
    send->Release();
  }

  void Release() {
    if (hooked_) napi_remove_env_cleanup_hook(env_, CleanUp, this);
    hooked_ = false;
    poll_.Close();
    if (helper_ != nullptr) {
      std::lock_guard<std::mutex> lock(helper_->mutex);
      helper_->async = nullptr;
      // The thread's duplicate would keep the connection from ending until the peer has read all.
      if (helper_->running && rest_.socket) shutdown(rest_.socket.get(), SHUT_RDWR);
    }
    async_.Close();
    rest_ = Rest();
  }

  // start(socket): 0 when all has been taken, 1 when done() will tell, or a failure
  Napi::Value Start(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    if (failure_.error != 0) return ToJs(env, failure_);
    rest_.socket.reset(fcntl(IntFromJs(info[0]), F_DUPFD_CLOEXEC, 0));
    if (!rest_.socket) return ToJs(env, LastError("dup"));
    int result = rest_.source.how.sync ? StartHelper() : Step();
    if (result != 0 && result != -EAGAIN)
      return ToJs(env, Failure{result, "sendfile", nullptr, {}});
    if (result == -EAGAIN) {
      Ref();
      waiting_ = true;
    }
    return Napi::Number::New(env, result == 0 ? 0 : 1);
  }

  // 0, -EAGAIN once the poll handle waits, or -errno.
  int Step() {
    int result = rest_.Send();
    return result == -EAGAIN ? WaitForRoom() : result;
  }

  int WaitForRoom() {
    if (!polling_) {
      uv_loop_t* loop = nullptr;
      napi_get_uv_event_loop(env_, &loop);
      int error = uv_poll_init(loop, poll_.get(), rest_.socket.get());
      if (error != 0) return error;
      poll_.set_initialized();
      polling_ = true;
    }
    int error = uv_poll_start(poll_.get(), UV_WRITABLE, [](uv_poll_t* poll, int, int) {
      auto* send = static_cast<RangeSend*>(poll->data);
      if (send == nullptr) return;
      int result = send->Step();
      if (result != -EAGAIN) send->Finish(result);
    });
    return error == 0 ? -EAGAIN : error;
  }

  // SF_SYNC sleeps until the peer has read everything, on non-blocking sockets too (FreeBSD 12.1:
  // not even a signal ends it).
  int StartHelper() {
    uv_loop_t* loop = nullptr;
    napi_get_uv_event_loop(env_, &loop);
    int error = uv_async_init(loop, async_.get(), [](uv_async_t* async) {
      auto* send = static_cast<RangeSend*>(async->data);
      if (send != nullptr) send->Finish(send->helper_->result);
    });
    if (error != 0) return error;
    async_.set_initialized();
    helper_ = std::make_shared<Helper>();
    helper_->async = async_.get();
    auto job = std::make_unique<Job>(Job{std::move(rest_), helper_});
    rest_.socket.reset(fcntl(job->rest.socket.get(), F_DUPFD_CLOEXEC, 0));
    uv_thread_t thread;
    error = uv_thread_create(&thread, Run, job.get());
    if (error != 0) return error;
    job.release();  // the thread's
    pthread_detach(thread);
    return -EAGAIN;
  }

  struct Job {
    Rest rest;
    std::shared_ptr<Helper> helper;
  };

  static void Run(void* argument) {
    std::unique_ptr<Job> job(static_cast<Job*>(argument));
    int result;
    while ((result = job->rest.Send()) == -EAGAIN) {
      pollfd room{job->rest.socket.get(), POLLOUT, 0};
      poll(&room, 1, -1);
    }
    std::lock_guard<std::mutex> lock(job->helper->mutex);
    job->helper->running = false;
    job->helper->result = result;
    if (job->helper->async != nullptr) uv_async_send(job->helper->async);
  }

  void Finish(int result) {
    if (polling_) uv_poll_stop(poll_.get());
    double argument = result;
    StopWaiting();
    callback_.Call(done_, &argument, 1);
  }

  // From start() to done() the object lives whether or not JavaScript holds it.
  void StopWaiting() {
    if (waiting_) Unref();
    waiting_ = false;
  }

  // unacknowledged(): bytes that the socket has taken and its peer has not acknowledged, Infinity
  // once it has no peer
  Napi::Value Unacknowledged(const Napi::CallbackInfo& info) {
    static thread_local EmptyProbe empty;
    SocketAddress local, peer;
    int fd = rest_.socket.get();
    ssize_t rest = fd < 0 ? -1 : empty.Rest(fd);
    // The buffer of a connection that was reset is empty too.
    bool known = rest >= 0 && Endpoints(fd, &local, &peer).ok();
    return Napi::Number::New(info.Env(), known ? static_cast<double>(rest) : HUGE_VAL);
  }

  // reusable(): whether nobody refers any more to what was sent, once it is acknowledged
  Napi::Value Reusable(const Napi::CallbackInfo& info) {
    bool reusable = !rest_.shared || PeerRoute(rest_.socket.get()) == Route::kElsewhere;
    return Napi::Boolean::New(info.Env(), reusable);
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    Release();
    StopWaiting();
    return info.Env().Undefined();
  }

  napi_env env_;
  Callback callback_;
  Napi::FunctionReference done_;
  Rest rest_;
  Failure failure_;
  Handle<uv_poll_t> poll_;
  bool polling_ = false;
  Handle<uv_async_t> async_;
  std::shared_ptr<Helper> helper_;
  bool hooked_ = false;
  bool waiting_ = false;
};

}  // namespace

void ReadFlags(Napi::Object options, FileRange* how) {
  how->no_disk_io = BoolFromJs(options.Get("noDiskIo"));
  how->no_cache = BoolFromJs(options.Get("noCache"));
  how->read_ahead = IntFromJs(options.Get("readAhead"));
}

void RegisterRangeSend(Napi::Env env, Napi::Object exports) {
  exports.Set("RangeSend", RangeSend::Define(env));
  exports.Set("hasSyncSend", Napi::Boolean::New(env, HasSyncSend()));
}

}  // namespace rss
