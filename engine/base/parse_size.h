// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/base/result.h"

namespace mica {

// "4096", "64K", "10G": decimal digits and at most one of K M G T (either case), powers of 1024.
// Nothing else: no sign, no space, no fraction; what does not fit 64 bits is refused. Errors are
// kInvalidArgument and quote the text.
Result<uint64_t> ParseSize(std::string_view text);

}  // namespace mica
