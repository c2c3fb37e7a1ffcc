// SPDX-License-Identifier: Apache-2.0
// MICA_CHECK(condition) guards our own invariants and stays on in release builds. It is never used
// on content of a file or of the wire: that is an Error.
#pragma once

namespace mica {
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line) noexcept;
}  // namespace mica

#define MICA_CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::mica::CheckFailed(#condition, __FILE__, __LINE__))
