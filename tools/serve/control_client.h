// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace mica {

// A blocking connection to the control socket of a running server.
Result<UniqueFd> ConnectToControl(const std::string& path);

}  // namespace mica
