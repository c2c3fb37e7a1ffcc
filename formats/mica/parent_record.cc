// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/parent_record.h"

#include <fmt/format.h>

#include "formats/mica/field_codec.h"
#include "formats/mica/layout.h"

namespace mica::native {

namespace {

constexpr size_t kParentFormatOffset = 160;
constexpr size_t kParentUuidOffset = 176;
constexpr size_t kParentDigestOffset = 192;
constexpr size_t kParentSizeOffset = 208;
constexpr size_t kParentPathBytesOffset = 216;
constexpr size_t kParentPathOffset = 3072;
static_assert(kParentPathOffset + kParentPathMax <= kSlotBytes);

}  // namespace

Result<void> CheckParent(const ParentReference& parent) {
  if (parent.path.empty() || parent.path.size() > kParentPathMax ||
      parent.format.size() > kParentFormatMax) {
    return Error{
        Errc::kLimit,
        fmt::format("the parent '{}' ({}) cannot be recorded: its path must have 1 to {} "
                    "bytes (a path relative to the image is shorter), its format at most {}",
                    parent.path, parent.format, kParentPathMax, kParentFormatMax)};
  }
  return {};
}

uint32_t EncodeParent(const ParentReference& parent, Bytes block) noexcept {
  StoreText(block, kParentFormatOffset, parent.format);
  StoreLe<uint32_t>(block, kParentPathBytesOffset, static_cast<uint32_t>(parent.path.size()));
  StoreText(block, kParentPathOffset, parent.path);
  if (!parent.identity) return kFlagParent;
  StoreArray(block, kParentUuidOffset, parent.identity->uuid);
  StoreArray(block, kParentDigestOffset, parent.identity->digest);
  StoreLe<uint64_t>(block, kParentSizeOffset, parent.identity->virtual_size);
  return kFlagParent | kFlagParentIdentity;
}

Result<ParentReference> DecodeParent(ConstBytes block, uint32_t flags) {
  const uint32_t path_bytes = LoadLe<uint32_t>(block, kParentPathBytesOffset);
  if (path_bytes == 0 || path_bytes > kParentPathMax) {
    return Error{Errc::kCorrupt, fmt::format("a parent path of {} bytes", path_bytes)};
  }
  ParentReference parent;
  parent.path = AsText(block.subspan(kParentPathOffset, path_bytes));
  const std::string_view format = AsText(block.subspan(kParentFormatOffset, kParentFormatMax));
  parent.format = format.substr(0, format.find('\0'));
  if ((flags & kFlagParentIdentity) != 0) {
    LayerIdentity identity;
    identity.uuid = LoadArray<16>(block, kParentUuidOffset);
    identity.digest = LoadArray<16>(block, kParentDigestOffset);
    identity.virtual_size = LoadLe<uint64_t>(block, kParentSizeOffset);
    parent.identity = identity;
  }
  return parent;
}

}  // namespace mica::native
