// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/superblock.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

namespace mica::native {

namespace {

constexpr uint32_t kVersion = 1;
constexpr uint64_t kKnownIncompat = 0;

constexpr uint32_t kFlagClean = 1;
constexpr uint32_t kFlagSealed = 2;
constexpr uint32_t kFlagParent = 4;
constexpr uint32_t kFlagParentIdentity = 8;
constexpr uint32_t kFlagsKnown = 15;

constexpr size_t kParentFormatOffset = 160;
constexpr size_t kParentUuidOffset = 176;
constexpr size_t kParentDigestOffset = 192;
constexpr size_t kParentSizeOffset = 208;
constexpr size_t kParentPathBytesOffset = 216;
constexpr size_t kRootsOffset = 1024;
constexpr size_t kRootBytes = 16;
constexpr size_t kParentPathOffset = 3072;
constexpr size_t kSecondMagicOffset = 4080;
constexpr size_t kHashOffset = 4088;
static_assert(kRootsOffset + kRootsMax * kRootBytes == kParentPathOffset);
static_assert(kParentPathOffset + kParentPathMax <= kSecondMagicOffset);

template <size_t N>
void StoreArray(Bytes block, size_t offset, const std::array<uint8_t, N>& value) noexcept {
  std::ranges::copy(std::as_bytes(std::span(value)),
                    block.begin() + static_cast<ptrdiff_t>(offset));
}

template <size_t N>
std::array<uint8_t, N> LoadArray(ConstBytes block, size_t offset) noexcept {
  std::array<uint8_t, N> value{};
  std::ranges::copy(block.subspan(offset, N), std::as_writable_bytes(std::span(value)).begin());
  return value;
}

void StoreText(Bytes block, size_t offset, std::string_view text) noexcept {
  std::ranges::copy(AsBytes(text), block.begin() + static_cast<ptrdiff_t>(offset));
}

void EncodeParent(const ParentReference& parent, Bytes block) noexcept {
  StoreText(block, kParentFormatOffset, parent.format);
  StoreLe<uint32_t>(block, kParentPathBytesOffset, static_cast<uint32_t>(parent.path.size()));
  StoreText(block, kParentPathOffset, parent.path);
  if (!parent.identity) return;
  StoreArray(block, kParentUuidOffset, parent.identity->uuid);
  StoreArray(block, kParentDigestOffset, parent.identity->digest);
  StoreLe<uint64_t>(block, kParentSizeOffset, parent.identity->virtual_size);
}

Result<ParentReference> DecodeParent(ConstBytes block, uint32_t flags) {
  const uint32_t path_bytes = LoadLe<uint32_t>(block, kParentPathBytesOffset);
  if (path_bytes == 0 || path_bytes > kParentPathMax) {
    return Error{Errc::kCorrupt, fmt::format("superblock: a parent path of {} bytes", path_bytes)};
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

Result<void> CheckFields(const Superblock& superblock) {
  if (superblock.virtual_size > kVirtualSizeMax) {
    return Error{Errc::kCorrupt, fmt::format("superblock: virtual size {} is above the limit {}",
                                             superblock.virtual_size, kVirtualSizeMax)};
  }
  constexpr uint64_t kNumberMax = uint64_t{1} << 62;  // no image gets there by counting
  if (superblock.sequence > kNumberMax || superblock.log_tail_sequence > kNumberMax) {
    return Error{Errc::kCorrupt, "superblock: an impossible sequence number"};
  }
  const SlotRun& log = superblock.log;
  if (!IsPlace(log) || log.count < kLogSlotsMin || log.count > kLogSlotsLimit ||
      superblock.log_slots_max > kLogSlotsLimit || superblock.log_tail_index >= log.count ||
      superblock.log_tail_sequence == 0 || log.end() > superblock.high_water ||
      superblock.high_water > kSlotEnd) {
    return Error{
        Errc::kCorrupt,
        fmt::format("superblock: the log of {} slots at slot {} with its tail at {} is "
                    "impossible in a file of {} slots",
                    log.count, log.first, superblock.log_tail_index, superblock.high_water)};
  }
  for (const RootPointer& root : superblock.roots) {
    if (root.slot == 0) continue;
    if (root.slot < kSlotFirst || root.slot >= superblock.high_water) {
      return Error{Errc::kCorrupt, fmt::format("superblock: a root block at slot {}", root.slot)};
    }
  }
  return {};
}

}  // namespace

uint64_t Superblock::Tag() const noexcept {
  return LoadLe<uint64_t>(std::as_bytes(std::span(uuid)), 0);
}

bool LooksLikeSuperblock(ConstBytes block) noexcept {
  if (block.size() < kSuperblockMagic.size()) return false;
  if (AsText(block.first(kSuperblockMagic.size())) == kSuperblockMagic) return true;
  return block.size() >= kSlotBytes &&
         AsText(block.subspan(kSecondMagicOffset, kSuperblockMagic.size())) == kSuperblockMagic;
}

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

void EncodeSuperblock(const Superblock& superblock, Bytes block) noexcept {
  FillZero(block);
  uint32_t flags = (superblock.clean ? kFlagClean : 0) | (superblock.sealed ? kFlagSealed : 0);
  if (superblock.parent) {
    flags |= kFlagParent | (superblock.parent->identity ? kFlagParentIdentity : 0);
    EncodeParent(*superblock.parent, block);
  }
  StoreText(block, 0, kSuperblockMagic);
  StoreLe<uint32_t>(block, 8, kVersion);
  StoreLe<uint32_t>(block, 12, kSlotBytes);
  StoreLe<uint64_t>(block, 16, superblock.sequence);
  StoreLe<uint64_t>(block, 24, superblock.incompat_features);
  StoreLe<uint64_t>(block, 32, superblock.ro_compat_features);
  StoreLe<uint64_t>(block, 40, superblock.autoclear_features);
  StoreArray(block, 48, superblock.uuid);
  StoreLe<uint64_t>(block, 64, superblock.virtual_size);
  StoreLe<uint32_t>(block, 72, flags);
  StoreLe<uint32_t>(block, 76, superblock.epoch);
  StoreLe<uint32_t>(block, 80, superblock.log.first);
  StoreLe<uint32_t>(block, 84, superblock.log.count);
  StoreLe<uint32_t>(block, 88, superblock.log_tail_index);
  StoreLe<uint32_t>(block, 92, superblock.log_slots_max);
  StoreLe<uint64_t>(block, 96, superblock.log_tail_sequence);
  StoreLe<uint64_t>(block, 104, superblock.log_tail_previous_hash);
  StoreLe<uint32_t>(block, 112, superblock.high_water);
  StoreArray(block, 128, superblock.seal_digest);
  for (size_t i = 0; i < kRootsMax; ++i) {
    const size_t offset = kRootsOffset + i * kRootBytes;
    StoreLe<uint32_t>(block, offset, superblock.roots[i].slot);
    StoreLe<uint64_t>(block, offset + 8, superblock.roots[i].hash);
  }
  StoreText(block, kSecondMagicOffset, kSuperblockMagic);
  StoreLe<uint64_t>(block, kHashOffset, XXH64(block.data(), kHashOffset, 0));
}

Result<Superblock> DecodeSuperblock(ConstBytes block) {
  if (block.size() < kSlotBytes ||
      AsText(block.first(kSuperblockMagic.size())) != kSuperblockMagic) {
    return Error{Errc::kCorrupt, "superblock: the magic is missing"};
  }
  if (LoadLe<uint64_t>(block, kHashOffset) != XXH64(block.data(), kHashOffset, 0)) {
    return Error{Errc::kCorrupt, "superblock: the checksum does not match"};
  }
  Superblock superblock;
  superblock.incompat_features = LoadLe<uint64_t>(block, 24);
  const uint32_t version = LoadLe<uint32_t>(block, 8);
  const uint32_t slot_bytes = LoadLe<uint32_t>(block, 12);
  const uint32_t flags = LoadLe<uint32_t>(block, 72);
  if (version != kVersion || slot_bytes != kSlotBytes || (flags & ~kFlagsKnown) != 0 ||
      (superblock.incompat_features & ~kKnownIncompat) != 0) {
    return Error{
        Errc::kUnsupported,
        fmt::format("mica image of version {}, {}-byte slots, features {:#x}, flags {:#x}; "
                    "this build reads version {} with {}-byte slots and features {:#x}: a "
                    "newer mica is needed",
                    version, slot_bytes, superblock.incompat_features, flags, kVersion, kSlotBytes,
                    kKnownIncompat)};
  }
  superblock.sequence = LoadLe<uint64_t>(block, 16);
  superblock.ro_compat_features = LoadLe<uint64_t>(block, 32);
  superblock.autoclear_features = LoadLe<uint64_t>(block, 40);
  superblock.uuid = LoadArray<16>(block, 48);
  superblock.virtual_size = LoadLe<uint64_t>(block, 64);
  superblock.clean = (flags & kFlagClean) != 0;
  superblock.sealed = (flags & kFlagSealed) != 0;
  superblock.epoch = LoadLe<uint32_t>(block, 76);
  superblock.log.first = LoadLe<uint32_t>(block, 80);
  superblock.log.count = LoadLe<uint32_t>(block, 84);
  superblock.log_tail_index = LoadLe<uint32_t>(block, 88);
  superblock.log_slots_max = LoadLe<uint32_t>(block, 92);
  superblock.log_tail_sequence = LoadLe<uint64_t>(block, 96);
  superblock.log_tail_previous_hash = LoadLe<uint64_t>(block, 104);
  superblock.high_water = LoadLe<uint32_t>(block, 112);
  superblock.seal_digest = LoadArray<16>(block, 128);
  for (size_t i = 0; i < kRootsMax; ++i) {
    const size_t offset = kRootsOffset + i * kRootBytes;
    superblock.roots[i].slot = LoadLe<uint32_t>(block, offset);
    superblock.roots[i].hash = LoadLe<uint64_t>(block, offset + 8);
  }
  if ((flags & kFlagParent) != 0) {
    ASSIGN(superblock.parent, DecodeParent(block, flags));
  }
  TRY(CheckFields(superblock));
  return superblock;
}

Result<SuperblockChoice> ChooseSuperblock(ConstBytes first, ConstBytes second) {
  Result<Superblock> a = DecodeSuperblock(first);
  Result<Superblock> b = DecodeSuperblock(second);
  if (a && b) {
    const bool take_second = b->sequence > a->sequence;
    return SuperblockChoice{take_second ? *b : *a, take_second ? 1u : 0u};
  }
  // One that is intact but too new must not be passed over for an older one.
  if (!a && a.error().code == Errc::kUnsupported) return a.error();
  if (!b && b.error().code == Errc::kUnsupported) return b.error();
  if (a) return SuperblockChoice{*std::move(a), 0};
  if (b) return SuperblockChoice{*std::move(b), 1};
  return Error{Errc::kCorrupt, "both superblocks are damaged (" + a.error().message + ")"};
}

}  // namespace mica::native
