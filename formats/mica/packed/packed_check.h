// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "formats/format.h"

namespace mica::packed {

// Every page of the tables, extents against chunks, the seal digest; with data also every chunk and
// block. Errors only where nothing could be checked.
// `path` is for messages.
Async<CheckReport> CheckPacked(std::filesystem::path path, BlockFile& file, CheckScope scope);

}  // namespace mica::packed
