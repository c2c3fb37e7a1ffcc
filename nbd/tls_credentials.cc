// SPDX-License-Identifier: Apache-2.0
#include "nbd/tls_credentials.h"

#include <fmt/format.h>
#include <gnutls/x509.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <span>
#include <string_view>
#include <utility>

#include "engine/base/bytes.h"

namespace mica::nbd {

namespace {

// TLS 1.2 at least. With pre-shared keys only exchanges with forward secrecy.
constexpr const char* kCertificatePriorities = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
constexpr const char* kPskPriorities =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-KX-ALL:+ECDHE-PSK:+DHE-PSK";

Error BadFile(const std::filesystem::path& file, std::string_view why) {
  return Error{Errc::kInvalidArgument, fmt::format("{}: {}", file.native(), why)};
}

Result<void> Check(int code, const std::filesystem::path& file) {
  if (code >= 0) return {};
  return BadFile(file, ::gnutls_strerror(code));
}

Result<std::vector<unsigned char>> DecodeHex(std::string_view hex) {
  // GnuTLS skips what is no digit.
  constexpr std::string_view kDigits = "0123456789abcdefABCDEF";
  const bool only_digits = hex.find_first_not_of(kDigits) == std::string_view::npos;
  if (hex.empty() || hex.size() % 2 != 0 || !only_digits) {
    return Error{Errc::kInvalidArgument, "the key is not hexadecimal"};
  }
  std::vector<unsigned char> bytes(hex.size() / 2 + 1);
  size_t length = bytes.size();
  const int code = ::gnutls_hex2bin(hex.data(), hex.size(), bytes.data(), &length);
  if (code < 0) return TlsError(code, "the key");
  bytes.resize(length);
  return bytes;
}

void Wipe(std::vector<unsigned char>& secret) {
  ::gnutls_memset(secret.data(), 0, secret.size());
}

}  // namespace

std::string_view TextOf(const gnutls_datum_t& datum) noexcept {
  return AsText(std::as_bytes(std::span(datum.data, datum.size)));
}

Error TlsError(int code, const std::string& where) {
  return Error{Errc::kInvalidArgument, fmt::format("{}: {}", where, ::gnutls_strerror(code))};
}

TlsCredentials::~TlsCredentials() {
  if (certificates_ != nullptr) ::gnutls_certificate_free_credentials(certificates_);
  if (psk_server_ != nullptr) ::gnutls_psk_free_server_credentials(psk_server_);
  if (psk_client_ != nullptr) ::gnutls_psk_free_client_credentials(psk_client_);
  for (auto& [user, key] : keys_) Wipe(key);
}

Result<std::shared_ptr<TlsCredentials>> TlsCredentials::FromDirectory(
    const std::filesystem::path& directory, ClientCertificates clients) {
  std::shared_ptr<TlsCredentials> made(new TlsCredentials());
  made->clients_ = clients;
  TRY(Check(::gnutls_certificate_allocate_credentials(&made->certificates_), directory));
  const std::filesystem::path authority = directory / "ca-cert.pem";
  const std::filesystem::path certificate = directory / "server-cert.pem";
  const std::filesystem::path key = directory / "server-key.pem";
  const std::filesystem::path revoked = directory / "ca-crl.pem";
  for (const std::filesystem::path& file : {authority, certificate, key}) {
    std::error_code failed;
    if (!std::filesystem::exists(file, failed)) {
      return BadFile(file,
                     "does not exist; TLS with certificates needs ca-cert.pem, "
                     "server-cert.pem and server-key.pem in one folder");
    }
  }
  gnutls_certificate_credentials_t to = made->certificates_;
  TRY(Check(::gnutls_certificate_set_x509_trust_file(to, authority.c_str(), GNUTLS_X509_FMT_PEM),
            authority));
  TRY(Check(::gnutls_certificate_set_x509_key_file(to, certificate.c_str(), key.c_str(),
                                                   GNUTLS_X509_FMT_PEM),
            certificate));
  std::error_code failed;
  if (std::filesystem::exists(revoked, failed)) {
    TRY(Check(::gnutls_certificate_set_x509_crl_file(to, revoked.c_str(), GNUTLS_X509_FMT_PEM),
              revoked));
  }
  ::gnutls_certificate_set_known_dh_params(to, GNUTLS_SEC_PARAM_MEDIUM);
  return made;
}

Result<std::shared_ptr<TlsCredentials>> TlsCredentials::FromPskFile(
    const std::filesystem::path& file) {
  std::shared_ptr<TlsCredentials> made(new TlsCredentials());
  std::ifstream in(file);
  if (!in) return BadFile(file, "cannot be read");
  std::string line;
  for (size_t number = 1; std::getline(in, line); ++number) {
    if (line.empty() || line.starts_with('#')) continue;
    const size_t colon = line.rfind(':');
    if (colon == std::string::npos || colon == 0) {
      return BadFile(file, fmt::format("line {}: expected USER:KEY", number));
    }
    Result<std::vector<unsigned char>> key = DecodeHex(std::string_view(line).substr(colon + 1));
    if (!key) return BadFile(file, fmt::format("line {}: {}", number, key.error().message));
    made->keys_.insert_or_assign(line.substr(0, colon), *std::move(key));
  }
  if (made->keys_.empty()) return BadFile(file, "expected lines USER:KEY, found none");
  TRY(Check(::gnutls_psk_allocate_server_credentials(&made->psk_server_), file));
  ::gnutls_psk_set_server_credentials_function2(made->psk_server_, &TlsCredentials::FindKey);
  ::gnutls_psk_set_server_known_dh_params(made->psk_server_, GNUTLS_SEC_PARAM_MEDIUM);
  return made;
}

Result<std::shared_ptr<TlsCredentials>> TlsCredentials::ForPskClient(const std::string& user,
                                                                     const std::string& hex_key) {
  std::shared_ptr<TlsCredentials> made(new TlsCredentials());
  ASSIGN(std::vector<unsigned char> secret, DecodeHex(hex_key));
  int code = ::gnutls_psk_allocate_client_credentials(&made->psk_client_);
  const gnutls_datum_t key{.data = secret.data(), .size = static_cast<unsigned>(secret.size())};
  if (code >= 0) {
    code = ::gnutls_psk_set_client_credentials(made->psk_client_, user.c_str(), &key,
                                               GNUTLS_PSK_KEY_RAW);
  }
  Wipe(secret);
  if (code < 0) return TlsError(code, "pre-shared key");
  return made;
}

// GnuTLS' own convention: 1 means that there is no such user; it then goes on with a random key, so
// that nobody learns which users there are.
int TlsCredentials::FindKey(gnutls_session_t session, const gnutls_datum_t* user,
                            gnutls_datum_t* key) {
  const auto* const self = static_cast<const TlsCredentials*>(::gnutls_session_get_ptr(session));
  const auto found = self->keys_.find(TextOf(*user));
  if (found == self->keys_.end()) return 1;
  const std::vector<unsigned char>& secret = found->second;
  key->data = static_cast<unsigned char*>(::gnutls_malloc(secret.size()));  // GnuTLS frees it
  if (key->data == nullptr) return -1;
  std::ranges::copy(secret, key->data);
  key->size = static_cast<unsigned>(secret.size());
  return 0;
}

Result<void> TlsCredentials::ApplyTo(gnutls_session_t session) const {
  // FindKey gets the session only.
  ::gnutls_session_set_ptr(session, const_cast<TlsCredentials*>(this));
  const bool psk = psk_server_ != nullptr || psk_client_ != nullptr;
  int code =
      ::gnutls_priority_set_direct(session, psk ? kPskPriorities : kCertificatePriorities, nullptr);
  if (code >= 0 && psk_server_ != nullptr) {
    code = ::gnutls_credentials_set(session, GNUTLS_CRD_PSK, psk_server_);
  }
  if (code >= 0 && psk_client_ != nullptr) {
    code = ::gnutls_credentials_set(session, GNUTLS_CRD_PSK, psk_client_);
  }
  if (code >= 0 && certificates_ != nullptr) {
    code = ::gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, certificates_);
  }
  if (code < 0) return TlsError(code, "TLS");
  if (certificates_ != nullptr && clients_ == ClientCertificates::kRequired) {
    ::gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    static std::array<unsigned char, sizeof GNUTLS_KP_TLS_WWW_CLIENT> purpose_text = [] {
      std::array<unsigned char, sizeof GNUTLS_KP_TLS_WWW_CLIENT> copy{};
      std::ranges::copy(std::string_view(GNUTLS_KP_TLS_WWW_CLIENT), copy.begin());
      return copy;
    }();
    static gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                            .data = purpose_text.data(),
                                            .size = 0};  // 0: a C string
    ::gnutls_session_set_verify_cert2(session, &purpose, 1, 0);
  }
  return {};
}

}  // namespace mica::nbd
