// TLS of accepted connections, without sockets: ciphertext in, plaintext out, and the reverse.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "core/byte_queue.h"
#include "core/flow.h"
#include "core/result.h"
#include "engine/openssl.h"

namespace rss {

// What clients are asked for.
enum class ClientCertificate { kNever, kOptional, kRequired };

struct TlsOptions {
  std::string key;   // PEM
  std::string cert;  // PEM: the server's certificate, then those of its issuers
  std::string ca;    // PEM: who signs the certificates of clients
  ClientCertificate client_certificate = ClientCertificate::kNever;
  int min_version = 0;  // 0x0303: TLS 1.2
  // Tickets of one worker are good for any other that has the same keys.
  std::vector<uint8_t> ticket_keys;
  uint64_t handshake_timeout = 0;  // milliseconds
};

// Keys and certificates of a server.
class TlsContext {
 public:
  static constexpr size_t kTicketKeys = 80;  // bytes

  // ENOTSUP without OpenSSL. EINVAL says which option is wrong, and why.
  static Result<std::shared_ptr<TlsContext>> Make(const TlsOptions& options);
  TlsContext(const OpenSsl& openssl, SslContext* context) : openssl_(openssl), context_(context) {}
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;
  ~TlsContext() { openssl_.SSL_CTX_free(context_); }

  const OpenSsl& openssl() const { return openssl_; }
  SslContext* get() const { return context_; }

 private:
  Status Configure(const TlsOptions& options);
  Status AddCertificates(const std::string& chain);
  Status AddKey(const std::string& key);
  Status AddAuthorities(const std::string& certificates);

  const OpenSsl& openssl_;
  SslContext* context_;
};

// The ciphertext of one call, either way. The sessions of a thread share one.
struct TlsBuffers {
  const uint8_t* in = nullptr;
  size_t in_left = 0;
  std::vector<uint8_t> out;
};

// One connection.
class TlsSession {
 public:
  static constexpr size_t kRecord = 16384;  // the most plaintext of a record

  // Null when there is no memory.
  static std::unique_ptr<TlsSession> Make(const TlsContext& context, TlsBuffers* buffers);
  TlsSession(const OpenSsl& openssl, Ssl* ssl) : openssl_(openssl), ssl_(ssl) {}
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;
  ~TlsSession() { openssl_.SSL_free(ssl_); }

  // These consume TlsBuffers::in, and append to TlsBuffers::out.
  // 1 when the handshake is complete, 0 when it needs more input, or -EPROTO.
  int Handshake();
  // Returns the bytes decrypted, or -EPROTO. `room`: at least the input and a record. `*ended`: the
  // peer has closed its side.
  ssize_t Unseal(uint8_t* to, size_t room, bool* ended);
  // At most kRecord bytes.
  bool Seal(const uint8_t* bytes, size_t count);
  // close_notify
  void SealEnd();

  ByteQueue pending;    // ciphertext that the kernel has not taken
  size_t sealed = 0;    // bytes at the front of the connection's output that are in `pending`
  bool ending = false;  // SealEnd() has been called
  Flow flow;            // for the report after the handshake

 private:
  const OpenSsl& openssl_;
  Ssl* ssl_;
};

}  // namespace rss
