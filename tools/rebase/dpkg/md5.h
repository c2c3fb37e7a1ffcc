// SPDX-License-Identifier: Apache-2.0
// MD5 (RFC 1321), only to compare files with the sums that packages carry; it protects nothing.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "engine/base/bytes.h"

namespace mica::rebase {

class Md5 {
 public:
  void Add(ConstBytes bytes);
  std::string Finish() &&;  // 32 lower-case hex digits

 private:
  static constexpr size_t kBlock = 64;
  void Block(ConstBytes block);

  std::array<uint32_t, 4> state_ = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  std::array<std::byte, kBlock> pending_{};
  uint64_t size_ = 0;  // bytes added
};

}  // namespace mica::rebase
