// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "nbd/server_context.h"

namespace mica {

// How a server is told to encrypt.
struct TlsSettings {
  std::optional<nbd::TlsMode> mode;         // empty: kRequire with credentials, else kOff
  std::optional<std::string> certificates;  // folder: ca-cert.pem, server-cert.pem, server-key.pem
  std::optional<std::string> psk_file;      // lines USER:KEY
  bool any_client = false;                  // certificates are not asked for
};

// "off", "allow", "require".
Result<nbd::TlsMode> ParseTlsMode(std::string_view text);

// Reads the credentials. kInvalidArgument when there are none, or two kinds, or they are unusable.
Result<nbd::TlsOptions> LoadTls(const TlsSettings& settings);

// "psk:USER", "cn:NAME", "dn:DN"; kInvalidArgument for anything else.
Result<void> CheckClientRule(std::string_view rule);

}  // namespace mica
