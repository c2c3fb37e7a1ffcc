// SPDX-License-Identifier: Apache-2.0
// What a hypervisor or a kernel has to be told to use an export: text to be pasted as it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tools/cli/nbd_uri.h"

namespace mica {

struct AttachRequest {
  NbdUri uri;
  uint32_t reconnect_seconds = 60;  // how long a lost server is waited for before I/O fails
  std::string device;               // vda, nbd0, …; each tool has its own default when empty
  std::optional<std::string> certificates;  // folder, for TLS
};

// "qemu", "libvirt", "nbd-client", "cloud-hypervisor". kUnsupported where the tool has no such
// transport, kInvalidArgument for an unknown tool.
Result<std::string> AttachConfig(std::string_view tool, const AttachRequest& request);

}  // namespace mica
