// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/superblock.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "formats/mica/field_codec.h"

namespace mica::native {

namespace {

constexpr uint32_t kVersion = 1;
constexpr uint64_t kKnownIncompat = 0;

constexpr uint32_t kFlagClean = 1;
constexpr uint32_t kFlagSealed = 2;
constexpr uint32_t kFlagsKnown = 15;

constexpr size_t kTableOffset = 224;
constexpr size_t kKeptEpochOffset = 240;
constexpr size_t kSnapshotCountOffset = 244;
constexpr size_t kParentBytesOffset = 248;
constexpr size_t kQuotaSoftOffset = 256;
constexpr size_t kQuotaHardOffset = 264;
constexpr size_t kHistoryOffset = 272;
static_assert(kHistoryOffset + EpochHistory::kEncodedBytes == 656);
constexpr size_t kRootsOffset = 1024;
constexpr size_t kRootBytes = kRootsBytes / kRootsMax;
constexpr size_t kSecondMagicOffset = 4080;
constexpr size_t kHashOffset = 4088;
static_assert(kRootsOffset + kRootsBytes == 3072);

Result<void> CheckSnapshotFields(const Superblock& superblock) {
  const SnapshotTablePointer& table = superblock.snapshot_table;
  const bool none = table == SnapshotTablePointer{} && superblock.kept_epoch == 0;
  const bool some = table.slot >= kSlotFirst && table.slot < superblock.high_water &&
                    table.slots >= 1 && table.slots <= kSnapshotTableSlotsMax &&
                    table.snapshots >= 1 && table.snapshots <= kSnapshotsMax &&
                    superblock.kept_epoch >= 1 && superblock.kept_epoch < superblock.epoch;
  if (!none && !some) {
    return Error{Errc::kCorrupt,
                 fmt::format("superblock: {} snapshots in {} slots at slot {}, kept to epoch {} of "
                             "{}, are impossible",
                             table.snapshots, table.slots, table.slot, superblock.kept_epoch,
                             superblock.epoch)};
  }
  if (superblock.parent_bytes > superblock.virtual_size) {
    return Error{Errc::kCorrupt,
                 fmt::format("superblock: the parent shows through for {} bytes of {}",
                             superblock.parent_bytes, superblock.virtual_size)};
  }
  if (superblock.quota_hard != 0 && superblock.quota_soft > superblock.quota_hard) {
    return Error{Errc::kCorrupt, fmt::format("superblock: a soft quota of {} above the hard one {}",
                                             superblock.quota_soft, superblock.quota_hard)};
  }
  return {};
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
  return CheckSnapshotFields(superblock);
}

void EncodeSnapshotFields(const Superblock& superblock, Bytes block) noexcept {
  const SnapshotTablePointer& table = superblock.snapshot_table;
  StoreLe<uint32_t>(block, kTableOffset, table.slot);
  StoreLe<uint32_t>(block, kTableOffset + 4, table.slots);
  StoreLe<uint64_t>(block, kTableOffset + 8, table.hash);
  StoreLe<uint32_t>(block, kKeptEpochOffset, superblock.kept_epoch);
  StoreLe<uint32_t>(block, kSnapshotCountOffset, table.snapshots);
  StoreLe<uint64_t>(block, kParentBytesOffset, superblock.parent_bytes);
  StoreLe<uint64_t>(block, kQuotaSoftOffset, superblock.quota_soft);
  StoreLe<uint64_t>(block, kQuotaHardOffset, superblock.quota_hard);
  superblock.history.Encode(block.subspan(kHistoryOffset, EpochHistory::kEncodedBytes));
}

Result<void> DecodeSnapshotFields(ConstBytes block, Superblock& superblock) {
  SnapshotTablePointer& table = superblock.snapshot_table;
  table.slot = LoadLe<uint32_t>(block, kTableOffset);
  table.slots = LoadLe<uint32_t>(block, kTableOffset + 4);
  table.hash = LoadLe<uint64_t>(block, kTableOffset + 8);
  superblock.kept_epoch = LoadLe<uint32_t>(block, kKeptEpochOffset);
  table.snapshots = LoadLe<uint32_t>(block, kSnapshotCountOffset);
  superblock.parent_bytes = LoadLe<uint64_t>(block, kParentBytesOffset);
  superblock.quota_soft = LoadLe<uint64_t>(block, kQuotaSoftOffset);
  superblock.quota_hard = LoadLe<uint64_t>(block, kQuotaHardOffset);
  const ConstBytes history = block.subspan(kHistoryOffset, EpochHistory::kEncodedBytes);
  ASSIGN(superblock.history, EpochHistory::Decode(history, superblock.epoch));
  return {};
}

}  // namespace

void EncodeRoots(const RootPointers& roots, Bytes out) noexcept {
  for (size_t i = 0; i < kRootsMax; ++i) {
    StoreLe<uint32_t>(out, i * kRootBytes, roots[i].slot);
    StoreLe<uint32_t>(out, i * kRootBytes + 4, roots[i].birth);
    StoreLe<uint64_t>(out, i * kRootBytes + 8, roots[i].hash);
  }
}

RootPointers DecodeRoots(ConstBytes in) noexcept {
  RootPointers roots;
  for (size_t i = 0; i < kRootsMax; ++i) {
    roots[i].slot = LoadLe<uint32_t>(in, i * kRootBytes);
    roots[i].birth = LoadLe<uint32_t>(in, i * kRootBytes + 4);
    roots[i].hash = LoadLe<uint64_t>(in, i * kRootBytes + 8);
  }
  return roots;
}

uint64_t Superblock::Tag() const noexcept {
  return LoadLe<uint64_t>(std::as_bytes(std::span(uuid)), 0);
}

bool LooksLikeSuperblock(ConstBytes block) noexcept {
  if (block.size() < kSuperblockMagic.size()) return false;
  if (AsText(block.first(kSuperblockMagic.size())) == kSuperblockMagic) return true;
  return block.size() >= kSlotBytes &&
         AsText(block.subspan(kSecondMagicOffset, kSuperblockMagic.size())) == kSuperblockMagic;
}

void EncodeSuperblock(const Superblock& superblock, Bytes block) noexcept {
  FillZero(block);
  uint32_t flags = (superblock.clean ? kFlagClean : 0) | (superblock.sealed ? kFlagSealed : 0);
  if (superblock.parent) {
    flags |= EncodeParent(*superblock.parent, block);
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
  EncodeSnapshotFields(superblock, block);
  EncodeRoots(superblock.roots, block.subspan(kRootsOffset, kRootsBytes));
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
  superblock.roots = DecodeRoots(block.subspan(kRootsOffset, kRootsBytes));
  TRY(DecodeSnapshotFields(block, superblock));
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
