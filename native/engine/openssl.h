// The OpenSSL that Node is linked with, found at run time. The addon is neither compiled nor linked
// against OpenSSL: a prebuilt addon works with the copy inside of nodejs.org's binaries and with
// the shared library of a system's package. The functions are those of OpenSSL 3.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace rss {

// OpenSSL's own types are opaque, so any type stands for them.
struct Ssl;
struct SslContext;
struct SslMethod;
struct Bio;
struct BioMethod;
struct X509;
struct X509Store;
struct PrivateKey;
using BioWrite = int (*)(Bio*, const char*, int);
using BioRead = int (*)(Bio*, char*, int);
using BioControl = long (*)(Bio*, int, long, void*);
using PasswordCallback = int (*)(char*, int, int, void*);

// clang-format off
#define RSS_OPENSSL(FUNCTION)                                                     \
  FUNCTION(const SslMethod*, TLS_server_method)                                   \
  FUNCTION(SslContext*, SSL_CTX_new, const SslMethod*)                            \
  FUNCTION(void, SSL_CTX_free, SslContext*)                                       \
  FUNCTION(long, SSL_CTX_ctrl, SslContext*, int, long, void*)                     \
  FUNCTION(uint64_t, SSL_CTX_set_options, SslContext*, uint64_t)                  \
  FUNCTION(int, SSL_CTX_use_certificate, SslContext*, X509*)                      \
  FUNCTION(int, SSL_CTX_use_PrivateKey, SslContext*, PrivateKey*)                 \
  FUNCTION(int, SSL_CTX_check_private_key, const SslContext*)                     \
  FUNCTION(X509Store*, SSL_CTX_get_cert_store, const SslContext*)                 \
  FUNCTION(int, SSL_CTX_add_client_CA, SslContext*, X509*)                        \
  FUNCTION(void, SSL_CTX_set_verify, SslContext*, int, void*)                     \
  FUNCTION(int, SSL_CTX_set_session_id_context, SslContext*, const uint8_t*, unsigned) \
  FUNCTION(Ssl*, SSL_new, SslContext*)                                            \
  FUNCTION(void, SSL_free, Ssl*)                                                  \
  FUNCTION(void, SSL_set_bio, Ssl*, Bio*, Bio*)                                   \
  FUNCTION(void, SSL_set_accept_state, Ssl*)                                      \
  FUNCTION(int, SSL_do_handshake, Ssl*)                                           \
  FUNCTION(int, SSL_read, Ssl*, void*, int)                                       \
  FUNCTION(int, SSL_write, Ssl*, const void*, int)                                \
  FUNCTION(int, SSL_shutdown, Ssl*)                                               \
  FUNCTION(int, SSL_get_error, const Ssl*, int)                                   \
  FUNCTION(int, BIO_get_new_index)                                                \
  FUNCTION(BioMethod*, BIO_meth_new, int, const char*)                            \
  FUNCTION(int, BIO_meth_set_write, BioMethod*, BioWrite)                         \
  FUNCTION(int, BIO_meth_set_read, BioMethod*, BioRead)                           \
  FUNCTION(int, BIO_meth_set_ctrl, BioMethod*, BioControl)                        \
  FUNCTION(Bio*, BIO_new, const BioMethod*)                                       \
  FUNCTION(Bio*, BIO_new_mem_buf, const void*, int)                               \
  FUNCTION(int, BIO_free, Bio*)                                                   \
  FUNCTION(void, BIO_set_init, Bio*, int)                                         \
  FUNCTION(void, BIO_set_data, Bio*, void*)                                       \
  FUNCTION(void*, BIO_get_data, Bio*)                                             \
  FUNCTION(void, BIO_set_flags, Bio*, int)                                        \
  FUNCTION(void, BIO_clear_flags, Bio*, int)                                      \
  FUNCTION(X509*, PEM_read_bio_X509, Bio*, X509**, PasswordCallback, void*)       \
  FUNCTION(PrivateKey*, PEM_read_bio_PrivateKey, Bio*, PrivateKey**, PasswordCallback, void*) \
  FUNCTION(void, X509_free, X509*)                                                \
  FUNCTION(int, X509_STORE_add_cert, X509Store*, X509*)                           \
  FUNCTION(void, EVP_PKEY_free, PrivateKey*)                                      \
  FUNCTION(unsigned long, ERR_peek_error)                                         \
  FUNCTION(void, ERR_clear_error)                                                 \
  FUNCTION(const char*, ERR_reason_error_string, unsigned long)

struct OpenSsl {
#define RSS_DECLARE(Returned, name, ...) Returned (*name)(__VA_ARGS__);
  RSS_OPENSSL(RSS_DECLARE)
#undef RSS_DECLARE
};
// clang-format on

// Null when this Node has no OpenSSL, or exports none. Thread-safe.
const OpenSsl* FindOpenSsl();

}  // namespace rss
