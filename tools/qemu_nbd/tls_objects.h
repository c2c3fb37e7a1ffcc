// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "nbd/server_context.h"
#include "tools/qemu_nbd/arguments.h"

namespace mica {

// What the --object options that --tls-creds and --tls-authz name come to, for a server.
struct QemuNbdTls {
  nbd::TlsOptions options;
  std::vector<std::string> clients;  // Export::clients
};
Result<QemuNbdTls> MakeServerTls(const QemuNbdArguments& arguments);

// The object with this id. kInvalidArgument when there is none, or it is of another endpoint.
enum class TlsEndpoint : uint8_t { kServer, kClient };
struct TlsObject {
  bool pre_shared_key = false;
  std::string directory;
  std::string user;         // of a pre-shared key
  bool verify_peer = true;  // the server asks for certificates
};
Result<TlsObject> FindTlsObject(const QemuNbdArguments& arguments, TlsEndpoint endpoint);

}  // namespace mica
