// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tools/qemu_nbd/arguments.h"

namespace mica {

// --list: prints what another server exports, as qemu-nbd does.
Result<void> ListExports(const QemuNbdArguments& arguments);

}  // namespace mica
