// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "engine/async/worker_pool.h"
#include "formats/format.h"
#include "formats/mica/packed/header.h"
#include "formats/mica/superblock.h"

namespace mica::packed {

// Writes the sealed image at `source` anew, packed, into `target`, which must not exist, and syncs
// it. Then reads back and verifies all that was written, before anybody may rely on it. The same
// source and options give the same bytes, with any number of threads. The options are checked
// already.
Async<PackTotals> Pack(Host& host, std::filesystem::path source, std::filesystem::path target,
                       PackOptions options);

// kInvalidArgument, with what is possible.
Result<void> CheckOptions(const PackOptions& options);

// kUnsupported, with what helps, for an image that has snapshots.
Result<void> CheckNoSnapshots(const std::filesystem::path& path,
                              const native::Superblock& superblock);

}  // namespace mica::packed
