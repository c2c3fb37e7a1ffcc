// SPDX-License-Identifier: Apache-2.0
// The quota that new deltas get from the command line.
#pragma once

#include "formats/format.h"

namespace mica {

// What a VM may take of the host unless its owner says otherwise.
inline constexpr uint64_t kDefaultQuotaBytes = uint64_t{10} << 30;

// Gives a new mica delta the default quota unless `options.extra` names one (`quota=none`: none).
// Masters, which have no parent, get none.
void ApplyDefaultQuota(const ImageFormat& format, CreateOptions& options);

}  // namespace mica
