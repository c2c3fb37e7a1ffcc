// SPDX-License-Identifier: Apache-2.0
// The mounter's side of tools/guest/mounted/mount_protocol.h: carries out what a worker asks for.
// It has root's rights and the worker reads what guests wrote, so nothing the worker says is
// believed: requests are bounded, and reach nothing but the trees that were mounted for it.
#pragma once

#include "engine/base/result.h"

namespace mica::guest {

// Serves until the other side closes the socket. One thread, blocking.
Result<void> RunMountService(int socket);

}  // namespace mica::guest
