#include "engine/tls.h"

#include <string.h>

#include <algorithm>

namespace rss {
namespace {

// From openssl/ssl.h and openssl/bio.h: these numbers are part of the ABI.
constexpr int kModeControl = 33;
constexpr int kSessionCacheControl = 44;
constexpr int kTicketKeysControl = 59;
constexpr int kAddChainControl = 89;
constexpr int kMinVersionControl = 123;
constexpr long kReleaseBuffers = 0x10;
constexpr uint64_t kNoRenegotiation = 1u << 30;
constexpr uint64_t kServerPreference = 1u << 22;
constexpr int kVerifyPeer = 1;
constexpr int kVerifyRequired = 2;
constexpr int kWantRead = 2;
constexpr int kZeroReturn = 6;
constexpr int kBioRead = 1;
constexpr int kBioRetry = 8;
constexpr int kBioRetryFlags = 15;
constexpr int kBioFlush = 11;
constexpr int kSourceSink = 0x400;

int ReadBio(Bio* bio, char* to, int size) {
  const OpenSsl& openssl = *FindOpenSsl();
  auto* buffers = static_cast<TlsBuffers*>(openssl.BIO_get_data(bio));
  openssl.BIO_clear_flags(bio, kBioRetryFlags);
  size_t count = std::min(static_cast<size_t>(size), buffers->in_left);
  if (count == 0) {
    openssl.BIO_set_flags(bio, kBioRead | kBioRetry);
    return -1;
  }
  memcpy(to, buffers->in, count);
  buffers->in += count;
  buffers->in_left -= count;
  return static_cast<int>(count);
}

int WriteBio(Bio* bio, const char* from, int size) {
  const OpenSsl& openssl = *FindOpenSsl();
  auto* buffers = static_cast<TlsBuffers*>(openssl.BIO_get_data(bio));
  buffers->out.insert(buffers->out.end(), from, from + size);
  return size;
}

long ControlBio(Bio* /*bio*/, int command, long /*number*/, void* /*pointer*/) {
  return command == kBioFlush ? 1 : 0;
}

const BioMethod* BufferMethod(const OpenSsl& openssl) {
  static const BioMethod* const method = [&] {
    BioMethod* made =
        openssl.BIO_meth_new(openssl.BIO_get_new_index() | kSourceSink, "TLS buffers");
    openssl.BIO_meth_set_read(made, ReadBio);
    openssl.BIO_meth_set_write(made, WriteBio);
    openssl.BIO_meth_set_ctrl(made, ControlBio);
    return made;
  }();
  return method;
}

// Without a callback OpenSSL asks for the password of an encrypted key on the terminal.
int NoPassword(char* /*to*/, int /*size*/, int /*writing*/, void* /*data*/) {
  return -1;
}

// Which option is wrong, with OpenSSL's reason. Node must not find the error later.
Failure Wrong(const OpenSsl& openssl, const char* option) {
  const char* reason = openssl.ERR_reason_error_string(openssl.ERR_peek_error());
  openssl.ERR_clear_error();
  return MakeFailure(EINVAL, "tls",
                     std::string(option) + ": " + (reason == nullptr ? "not usable" : reason));
}

// Calls `add` for each certificate of a PEM text, until it returns false. False: there is none, or
// one was not added.
template <typename Add>
bool ForEachCertificate(const OpenSsl& openssl, const std::string& pem, Add add) {
  Bio* bio = openssl.BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
  if (bio == nullptr) return false;
  size_t added = 0;
  bool good = true;
  while (good) {
    X509* certificate = openssl.PEM_read_bio_X509(bio, nullptr, NoPassword, nullptr);
    if (certificate == nullptr) break;  // the end of the text, unless it is the first
    good = add(certificate);
    openssl.X509_free(certificate);
    ++added;
  }
  openssl.BIO_free(bio);
  if (!good || added == 0) return false;
  openssl.ERR_clear_error();
  return true;
}

}  // namespace

Result<std::shared_ptr<TlsContext>> TlsContext::Make(const TlsOptions& options) {
  const OpenSsl* openssl = FindOpenSsl();
  if (openssl == nullptr) return MakeFailure(ENOTSUP, "tls", "this Node exports no OpenSSL");
  openssl->ERR_clear_error();
  SslContext* made = openssl->SSL_CTX_new(openssl->TLS_server_method());
  if (made == nullptr) return MakeFailure(ENOMEM, "tls");
  auto context = std::make_shared<TlsContext>(*openssl, made);
  Status status = context->Configure(options);
  if (!status.ok()) return status.failure;
  return context;
}

Status TlsContext::Configure(const TlsOptions& options) {
  openssl_.SSL_CTX_set_options(context_, kNoRenegotiation | kServerPreference);
  openssl_.SSL_CTX_ctrl(context_, kModeControl, kReleaseBuffers, nullptr);
  // Sessions are resumed by tickets: a table of them would be this worker's alone.
  openssl_.SSL_CTX_ctrl(context_, kSessionCacheControl, 0, nullptr);
  static constexpr uint8_t kName[] = "freebsd-rss";
  openssl_.SSL_CTX_set_session_id_context(context_, kName, sizeof kName - 1);
  if (openssl_.SSL_CTX_ctrl(context_, kMinVersionControl, options.min_version, nullptr) != 1)
    return Wrong(openssl_, "minVersion");
  auto* keys = const_cast<uint8_t*>(options.ticket_keys.data());
  if (!options.ticket_keys.empty() &&
      openssl_.SSL_CTX_ctrl(context_, kTicketKeysControl,
                            static_cast<long>(options.ticket_keys.size()), keys) != 1)
    return Wrong(openssl_, "ticketKeys");
  Status status = AddCertificates(options.cert);
  if (status.ok()) status = AddKey(options.key);
  if (status.ok() && !options.ca.empty()) status = AddAuthorities(options.ca);
  if (options.client_certificate != ClientCertificate::kNever) {
    bool required = options.client_certificate == ClientCertificate::kRequired;
    openssl_.SSL_CTX_set_verify(context_, kVerifyPeer | (required ? kVerifyRequired : 0), nullptr);
  }
  return status;
}

Status TlsContext::AddCertificates(const std::string& chain) {
  bool first = true;
  bool added = ForEachCertificate(openssl_, chain, [&](X509* certificate) {
    if (!std::exchange(first, false))  // SSL_CTX_add1_chain_cert()
      return openssl_.SSL_CTX_ctrl(context_, kAddChainControl, 1, certificate) == 1;
    return openssl_.SSL_CTX_use_certificate(context_, certificate) == 1;
  });
  if (!added) return Wrong(openssl_, "cert");
  return Nothing{};
}

Status TlsContext::AddKey(const std::string& key) {
  Bio* bio = openssl_.BIO_new_mem_buf(key.data(), static_cast<int>(key.size()));
  if (bio == nullptr) return Wrong(openssl_, "key");
  PrivateKey* read = openssl_.PEM_read_bio_PrivateKey(bio, nullptr, NoPassword, nullptr);
  openssl_.BIO_free(bio);
  bool good = read != nullptr && openssl_.SSL_CTX_use_PrivateKey(context_, read) == 1 &&
              openssl_.SSL_CTX_check_private_key(context_) == 1;
  if (read != nullptr) openssl_.EVP_PKEY_free(read);
  if (!good) return Wrong(openssl_, "key");
  return Nothing{};
}

Status TlsContext::AddAuthorities(const std::string& certificates) {
  X509Store* store = openssl_.SSL_CTX_get_cert_store(context_);
  bool added = ForEachCertificate(openssl_, certificates, [&](X509* certificate) {
    return openssl_.X509_STORE_add_cert(store, certificate) == 1 &&
           openssl_.SSL_CTX_add_client_CA(context_, certificate) == 1;
  });
  if (!added) return Wrong(openssl_, "ca");
  return Nothing{};
}

std::unique_ptr<TlsSession> TlsSession::Make(const TlsContext& context, TlsBuffers* buffers) {
  const OpenSsl& openssl = context.openssl();
  openssl.ERR_clear_error();
  Ssl* ssl = openssl.SSL_new(context.get());
  Bio* bio = ssl == nullptr ? nullptr : openssl.BIO_new(BufferMethod(openssl));
  if (bio == nullptr) {
    openssl.SSL_free(ssl);
    openssl.ERR_clear_error();
    return nullptr;
  }
  openssl.BIO_set_data(bio, buffers);
  openssl.BIO_set_init(bio, 1);
  openssl.SSL_set_bio(ssl, bio, bio);
  openssl.SSL_set_accept_state(ssl);
  return std::make_unique<TlsSession>(openssl, ssl);
}

int TlsSession::Handshake() {
  openssl_.ERR_clear_error();  // SSL_get_error() looks at the thread's errors
  int result = openssl_.SSL_do_handshake(ssl_);
  if (result == 1) return 1;
  bool waits = openssl_.SSL_get_error(ssl_, result) == kWantRead;
  openssl_.ERR_clear_error();
  return waits ? 0 : -EPROTO;
}

ssize_t TlsSession::Unseal(uint8_t* to, size_t room, bool* ended) {
  openssl_.ERR_clear_error();
  size_t count = 0;
  int result;
  do {
    result = openssl_.SSL_read(ssl_, to + count, static_cast<int>(room - count));
    if (result > 0) count += static_cast<size_t>(result);
  } while (result > 0 && count < room);
  if (result > 0) return static_cast<ssize_t>(count);
  int error = openssl_.SSL_get_error(ssl_, result);
  *ended = error == kZeroReturn;
  if (error == kWantRead || error == kZeroReturn) return static_cast<ssize_t>(count);
  openssl_.ERR_clear_error();
  return -EPROTO;
}

bool TlsSession::Seal(const uint8_t* bytes, size_t count) {
  openssl_.ERR_clear_error();
  if (openssl_.SSL_write(ssl_, bytes, static_cast<int>(count)) > 0) return true;
  openssl_.ERR_clear_error();
  return false;
}

void TlsSession::SealEnd() {
  ending = true;
  openssl_.ERR_clear_error();
  openssl_.SSL_shutdown(ssl_);
  openssl_.ERR_clear_error();
}

}  // namespace rss
