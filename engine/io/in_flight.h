// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace mica {

// Counts a call for as long as it runs, so that destroying its file under it can be caught.
class InFlight {
 public:
  explicit InFlight(uint64_t& count) noexcept : count_(count) { ++count_; }
  InFlight(const InFlight&) = delete;
  InFlight& operator=(const InFlight&) = delete;
  ~InFlight() { --count_; }

 private:
  uint64_t& count_;
};

}  // namespace mica
