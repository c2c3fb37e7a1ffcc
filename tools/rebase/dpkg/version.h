// SPDX-License-Identifier: Apache-2.0
// Debian package versions in the order of Debian policy 5.6.12: epoch, upstream, revision, each by
// alternating non-digit and digit parts, "~" before everything, even the end.
#pragma once

#include <compare>
#include <string_view>

namespace mica::rebase {

std::strong_ordering CompareVersions(std::string_view a, std::string_view b);

}  // namespace mica::rebase
