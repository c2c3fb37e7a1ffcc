// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace mica {

// Where an export is, as the NBD URI specification writes it (NetworkBlockDevice/nbd, doc/uri.md):
// nbd://HOST[:PORT]/NAME, nbd+unix:///NAME?socket=PATH, nbd+vsock://CID[:PORT]/NAME, and with TLS
// nbds… instead. A URI with any other parameter than the socket is taken, the parameter is not.
struct NbdUri {
  enum class Transport : uint8_t { kTcp, kUnix, kVsock };
  Transport transport = Transport::kTcp;
  bool tls = false;
  std::string host;  // or the address of a vsock
  std::string port = "10809";
  std::string socket;
  std::string export_name;
};

// kInvalidArgument with what was expected.
Result<NbdUri> ParseNbdUri(std::string_view text);

}  // namespace mica
