// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/sync_device.h"

#include <fmt/format.h>

#include "engine/async/sync_wait.h"
#include "engine/base/checked_math.h"

namespace mica::guest {

Result<void> SyncDevice::CheckRange(ByteRange range) const {
  if (FitsInside(range, size())) return {};
  return Error{Errc::kOutOfRange,
               fmt::format("{} bytes at {} lie beyond the end of the volume ({} bytes)",
                           range.length, range.offset, size())};
}

Result<void> SyncDevice::Read(uint64_t offset, Bytes buffer) {
  TRY(CheckRange({offset, buffer.size()}));
  return SyncWait(loop_, device_.Read(offset, buffer));
}

Result<void> SyncDevice::Write(uint64_t offset, ConstBytes buffer) {
  TRY(CheckRange({offset, buffer.size()}));
  return SyncWait(loop_, device_.Write(offset, buffer, Durability::kVolatile));
}

Result<void> SyncDevice::WriteZeroes(ByteRange range) {
  TRY(CheckRange(range));
  return SyncWait(loop_, device_.WriteZeroes(range, ZeroHint::kMayUnmap, Durability::kVolatile));
}

Result<void> SyncDevice::Discard(ByteRange range) {
  TRY(CheckRange(range));
  return SyncWait(loop_, device_.Discard(range, Durability::kVolatile));
}

Result<void> SyncDevice::Flush() {
  return SyncWait(loop_, device_.Flush());
}

}  // namespace mica::guest
