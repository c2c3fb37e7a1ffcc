// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/dpkg/md5.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace mica::rebase {
namespace {

// RFC 1321, 3.4: T[i] is the integer part of 2^32 times abs(sin(i)).
const std::array<uint32_t, 64>& Sines() {
  static const std::array<uint32_t, 64> table = [] {
    std::array<uint32_t, 64> sines{};
    for (size_t i = 0; i < sines.size(); ++i) {
      sines[i] = static_cast<uint32_t>(std::fabs(std::sin(static_cast<double>(i + 1))) * 0x1p32);
    }
    return sines;
  }();
  return table;
}

constexpr std::array<std::array<int, 4>, 4> kShifts = {
    {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}}};

}  // namespace

void Md5::Block(ConstBytes block) {
  auto [a, b, c, d] = state_;
  for (size_t i = 0; i < 64; ++i) {
    uint32_t mixed = 0;
    size_t word = 0;
    switch (i / 16) {
      case 0:
        mixed = (b & c) | (~b & d);
        word = i;
        break;
      case 1:
        mixed = (d & b) | (~d & c);
        word = 5 * i + 1;
        break;
      case 2:
        mixed = b ^ c ^ d;
        word = 3 * i + 5;
        break;
      default:
        mixed = c ^ (b | ~d);
        word = 7 * i;
        break;
    }
    const uint32_t sum = a + mixed + Sines()[i] + LoadLe<uint32_t>(block, word % 16 * 4);
    a = d;
    d = c;
    c = b;
    b += std::rotl(sum, kShifts[i / 16][i % 4]);
  }
  state_[0] += a;
  state_[1] += b;
  state_[2] += c;
  state_[3] += d;
}

void Md5::Add(ConstBytes bytes) {
  while (!bytes.empty()) {
    const size_t filled = size_ % kBlock;
    const size_t take = std::min(kBlock - filled, bytes.size());
    std::copy_n(bytes.begin(), take, pending_.begin() + static_cast<ptrdiff_t>(filled));
    size_ += take;
    bytes = bytes.subspan(take);
    if (size_ % kBlock == 0) Block(pending_);
  }
}

std::string Md5::Finish() && {
  std::array<std::byte, 8> bits{};
  StoreLe<uint64_t>(bits, 0, size_ * 8);
  const std::byte one{0x80};
  const std::byte zero{0};
  Add({&one, 1});
  while (size_ % kBlock != kBlock - bits.size()) Add({&zero, 1});
  Add(bits);
  std::string hex;
  for (const uint32_t word : state_) hex += fmt::format("{:08x}", SwapIf(true, word));
  return hex;
}

}  // namespace mica::rebase
