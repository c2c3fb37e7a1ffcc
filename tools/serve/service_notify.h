// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace mica {

// Tells the service manager that started this process, by the protocol of sd_notify(3): lines such
// as "READY=1". Does nothing when nobody asked to be told; a message that is lost is no error.
void NotifyServiceManager(std::string_view state);

}  // namespace mica
