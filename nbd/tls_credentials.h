// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gnutls/gnutls.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace mica::nbd {

enum class ClientCertificates : uint8_t { kRequired, kNotAsked };

// What a server (or, in tests, a client) proves itself with, and what it wants from its peers.
// Immutable: many sessions on any thread share it. Secrets are wiped when it is destroyed.
class TlsCredentials {
 public:
  TlsCredentials(const TlsCredentials&) = delete;
  TlsCredentials& operator=(const TlsCredentials&) = delete;
  ~TlsCredentials();

  // A folder as QEMU and libvirt have it: ca-cert.pem, server-cert.pem, server-key.pem and perhaps
  // ca-crl.pem. kInvalidArgument, with the file's name, for what cannot be used.
  static Result<std::shared_ptr<TlsCredentials>> FromDirectory(
      const std::filesystem::path& directory, ClientCertificates clients);
  // A file of lines "USER:KEY" with the key in hex, as psktool writes it.
  static Result<std::shared_ptr<TlsCredentials>> FromPskFile(const std::filesystem::path& file);
  // The client's side of a pre-shared key.
  static Result<std::shared_ptr<TlsCredentials>> ForPskClient(const std::string& user,
                                                              const std::string& hex_key);

  // Makes `session` use these credentials: the versions and key exchanges that are allowed, and the
  // check of the peer. kInvalidArgument as GnuTLS says it.
  [[nodiscard]] Result<void> ApplyTo(gnutls_session_t session) const;

 private:
  TlsCredentials() = default;
  static int FindKey(gnutls_session_t session, const gnutls_datum_t* user, gnutls_datum_t* key);

  gnutls_certificate_credentials_t certificates_ = nullptr;
  ClientCertificates clients_ = ClientCertificates::kNotAsked;
  gnutls_psk_server_credentials_t psk_server_ = nullptr;
  gnutls_psk_client_credentials_t psk_client_ = nullptr;
  std::map<std::string, std::vector<unsigned char>, std::less<>> keys_;  // by user
};

// GnuTLS' bytes as text. Borrows.
std::string_view TextOf(const gnutls_datum_t& datum) noexcept;

// What went wrong in GnuTLS.
Error TlsError(int code, const std::string& where);

}  // namespace mica::nbd
