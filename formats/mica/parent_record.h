// SPDX-License-Identifier: Apache-2.0
// The parent as superblocks (FORMAT.md section 2) and the headers of packed images record it: at
// the same offsets in both.
#pragma once

#include "engine/base/bytes.h"
#include "engine/layer.h"

namespace mica::native {

inline constexpr size_t kParentPathMax = 1000;  // bytes
inline constexpr size_t kParentFormatMax = 15;  // bytes

inline constexpr uint32_t kFlagParent = 4;
inline constexpr uint32_t kFlagParentIdentity = 8;

// kLimit when the reference does not fit.
Result<void> CheckParent(const ParentReference& parent);

// `block` is one slot; the reference fits. Returns the flags that belong to it.
uint32_t EncodeParent(const ParentReference& parent, Bytes block) noexcept;

// `block` is one slot of any content, `flags` has kFlagParent.
Result<ParentReference> DecodeParent(ConstBytes block, uint32_t flags);

}  // namespace mica::native
