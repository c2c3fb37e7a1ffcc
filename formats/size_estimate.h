// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "engine/base/range.h"

namespace mica {

// How large the file of a new image becomes that is filled once, by a copy. Host space, in bytes;
// not for two threads at a time.
class SizeEstimate {
 public:
  SizeEstimate() = default;
  SizeEstimate(const SizeEstimate&) = delete;
  SizeEstimate& operator=(const SizeEstimate&) = delete;
  virtual ~SizeEstimate() = default;

  // Ranges of the disk whose content is stored, and ranges that are made zero where the parent is
  // not. Each byte at most once.
  virtual void AddData(ByteRange range) = 0;
  virtual void AddZero(ByteRange range) = 0;

  // With what was added so far.
  [[nodiscard]] virtual uint64_t RequiredBytes() const = 0;
  // With every byte of the disk stored.
  [[nodiscard]] virtual uint64_t FullBytes() const = 0;
};

}  // namespace mica
