// SPDX-License-Identifier: Apache-2.0
// Text from outside: which bytes are printable UTF-8.
#pragma once

#include <string_view>

namespace mica {

// How many bytes the well-formed, printable UTF-8 character at the beginning has; 0 when there is
// none. `text` is not empty.
size_t PrintableLength(std::string_view text) noexcept;

// Whether `text` is UTF-8 without control characters.
bool IsPrintable(std::string_view text) noexcept;

}  // namespace mica
