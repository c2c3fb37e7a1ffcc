// SPDX-License-Identifier: Apache-2.0
// What a report says of a delta, so that it can be recognised and accounted for later.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>

#include "engine/image_chain.h"
#include "engine/io/host.h"

namespace mica::rebase {

struct DeltaFacts {
  // XXH3-128 over what the guest would see of the delta alone: each of its blocks with its place.
  // It does not depend on where in the file the blocks lie.
  std::array<uint8_t, 16> digest{};
  uint64_t stored_bytes = 0;  // of the guest, data that is in the delta
  uint64_t shared_bytes = 0;  // of the guest, data that shows through from the master
  uint64_t file_bytes = 0;    // what the delta's file takes on the host
};

// Of the head of `chain`, whose file is `file`. Reads maps, and data only where a map has no
// checksums.
Async<DeltaFacts> FactsOfDelta(Host& host, ImageChain& chain, std::filesystem::path file);

}  // namespace mica::rebase
