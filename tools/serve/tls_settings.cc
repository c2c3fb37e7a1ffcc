// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/tls_settings.h"

#include <fmt/format.h>

#include <array>

#include "nbd/tls_credentials.h"

namespace mica {

Result<nbd::TlsMode> ParseTlsMode(std::string_view text) {
  if (text == "off") return nbd::TlsMode::kOff;
  if (text == "allow") return nbd::TlsMode::kAllow;
  if (text == "require") return nbd::TlsMode::kRequire;
  return Error{Errc::kInvalidArgument,
               fmt::format("tls: expected off, allow or require, found '{}'", text)};
}

Result<nbd::TlsOptions> LoadTls(const TlsSettings& settings) {
  const bool have = settings.certificates || settings.psk_file;
  nbd::TlsOptions options;
  options.mode = settings.mode.value_or(have ? nbd::TlsMode::kRequire : nbd::TlsMode::kOff);
  if (settings.certificates && settings.psk_file) {
    return Error{Errc::kInvalidArgument,
                 "TLS: expected certificates or pre-shared keys, found both"};
  }
  if (options.mode == nbd::TlsMode::kOff) return options;
  if (!have) {
    return Error{Errc::kInvalidArgument,
                 "TLS: expected --tls-certificates DIR or --tls-psk FILE, found neither"};
  }
  if (settings.psk_file) {
    ASSIGN(options.credentials, nbd::TlsCredentials::FromPskFile(*settings.psk_file));
  } else {
    const auto clients = settings.any_client ? nbd::ClientCertificates::kNotAsked
                                             : nbd::ClientCertificates::kRequired;
    ASSIGN(options.credentials,
           nbd::TlsCredentials::FromDirectory(*settings.certificates, clients));
  }
  return options;
}

Result<void> CheckClientRule(std::string_view rule) {
  constexpr std::array<std::string_view, 3> kKinds = {"psk:", "cn:", "dn:"};
  for (const std::string_view kind : kKinds) {
    if (rule.starts_with(kind) && rule.size() > kind.size()) return {};
  }
  return Error{Errc::kInvalidArgument,
               fmt::format("clients: expected psk:USER, cn:NAME or dn:DN, found '{}'", rule)};
}

}  // namespace mica
