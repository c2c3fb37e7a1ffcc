// SPDX-License-Identifier: Apache-2.0
// Which lines two texts have in common: the longest common subsequence by Myers' algorithm in
// linear space ("An O(ND) difference algorithm and its variations", 1986, section 4b).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace mica::rebase {

// Lines with their line feed; the last one may lack it.
std::vector<std::string_view> SplitLines(std::string_view text);

inline constexpr size_t kUnmatched = SIZE_MAX;

// For each line of `before` the line of `after` it matches, or kUnmatched; increasing. Lines are
// given as numbers, equal lines having equal numbers. Empty when the texts differ so much that
// finding the matches would take more than `steps_max` comparisons.
std::optional<std::vector<size_t>> MatchLines(std::span<const uint32_t> before,
                                              std::span<const uint32_t> after, uint64_t steps_max);

}  // namespace mica::rebase
