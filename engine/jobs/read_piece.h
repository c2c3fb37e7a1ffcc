// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

#include "engine/block_device.h"

namespace mica {

// Fills `buffer` with what `device` reads at `offset`, without asking it when that is known to be
// zero. What is past the device's end is zero; a missing device is all zero.
inline Async<void> ReadPiece(BlockDevice* device, uint64_t offset, bool known_zero, Bytes buffer) {
  const uint64_t end = device == nullptr || known_zero ? 0 : device->info().size;
  const uint64_t available = end > offset ? end - offset : 0;
  const Bytes inside = buffer.first(std::min<uint64_t>(available, buffer.size()));
  FillZero(buffer.subspan(inside.size()));
  if (!inside.empty()) CO_TRY(co_await device->Read(offset, inside));
  co_return Result<void>();
}

}  // namespace mica
