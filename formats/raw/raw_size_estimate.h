// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "formats/size_estimate.h"

namespace mica {

// A raw file takes its data and nothing else; zeroes are holes.
class RawSizeEstimate final : public SizeEstimate {
 public:
  explicit RawSizeEstimate(uint64_t virtual_size) : virtual_size_(virtual_size) {}

  void AddData(ByteRange range) override { data_bytes_ += range.length; }
  void AddZero(ByteRange) override {}
  [[nodiscard]] uint64_t RequiredBytes() const override { return data_bytes_; }
  [[nodiscard]] uint64_t FullBytes() const override { return virtual_size_; }

 private:
  uint64_t virtual_size_;
  uint64_t data_bytes_ = 0;
};

}  // namespace mica
