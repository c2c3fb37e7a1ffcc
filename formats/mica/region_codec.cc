// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/region_codec.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

namespace mica::native {

namespace {

constexpr uint32_t kRegionMagic = 0x4e47524d;  // "MRGN"
constexpr size_t kRootEntryBytes = 16;
constexpr size_t kLeafEntryBytes = 16;
constexpr size_t kSparseEntryBytes = 18;
constexpr size_t kItemHeaderBytes = 8;
static_assert(kDenseItemBytes == kItemHeaderBytes + 16);
static_assert(kItemBytesMax == kItemHeaderBytes + kSparseMax * kSparseEntryBytes);
constexpr size_t kUniformItemBytes = kItemHeaderBytes + 8;

enum class ItemKind : uint8_t { kSparse = 1, kDense = 2, kUniform = 3 };

bool IsEntrySlot(Slot slot) noexcept {
  return slot >= kSlotFirst;
}

// Writes items one after another; the buffer was sized for them.
class ItemWriter {
 public:
  explicit ItemWriter(Bytes out) : out_(out) {}

  void Add(const RegionItem& item) {
    if (item.leaf == nullptr) {
      AddDense(item);
    } else if (item.leaf->shape() == LeafShape::kUniform) {
      AddUniform(item);
    } else {
      AddSparse(item);
    }
  }
  [[nodiscard]] uint32_t items() const noexcept { return items_; }
  [[nodiscard]] size_t used() const noexcept { return used_; }

 private:
  void Header(uint32_t leaf_index, ItemKind kind, uint32_t count) {
    StoreLe<uint16_t>(out_, used_, static_cast<uint16_t>(leaf_index));
    StoreLe<uint16_t>(out_, used_ + 2, static_cast<uint16_t>(kind));
    StoreLe<uint32_t>(out_, used_ + 4, count);
    ++items_;
  }

  void AddDense(const RegionItem& item) {
    Header(item.leaf_index, ItemKind::kDense, item.dense.birth);
    StoreLe<uint32_t>(out_, used_ + 8, item.dense.first);
    StoreLe<uint32_t>(out_, used_ + 12, item.dense.second);
    StoreLe<uint64_t>(out_, used_ + 16, item.dense.hash);
    used_ += kDenseItemBytes;
  }

  void AddUniform(const RegionItem& item) {
    const LeafEntry entry = item.leaf->Get(0);
    if (uniform_end_ == item.leaf_index && uniform_entry_ == entry) {
      const uint32_t count = LoadLe<uint32_t>(out_, uniform_at_ + 4);
      StoreLe<uint32_t>(out_, uniform_at_ + 4, count + 1);
    } else {
      uniform_at_ = used_;
      uniform_entry_ = entry;
      Header(item.leaf_index, ItemKind::kUniform, 1);
      StoreLe<uint32_t>(out_, used_ + 8, entry.slot);
      StoreLe<uint32_t>(out_, used_ + 12, entry.epoch);
      used_ += kUniformItemBytes;
    }
    uniform_end_ = item.leaf_index + 1;
  }

  void AddSparse(const RegionItem& item) {
    Header(item.leaf_index, ItemKind::kSparse, item.leaf->present());
    used_ += kItemHeaderBytes;
    item.leaf->ForEach([this](uint32_t index, const LeafEntry& entry) {
      StoreLe<uint16_t>(out_, used_, static_cast<uint16_t>(index));
      StoreLe<uint32_t>(out_, used_ + 2, entry.slot);
      StoreLe<uint32_t>(out_, used_ + 6, entry.epoch);
      StoreLe<uint64_t>(out_, used_ + 10, entry.digest);
      used_ += kSparseEntryBytes;
    });
  }

  Bytes out_;
  size_t used_ = 0;
  uint32_t items_ = 0;
  uint32_t uniform_end_ = UINT32_MAX;  // the leaf that would continue the last uniform item
  LeafEntry uniform_entry_;
  size_t uniform_at_ = 0;
};

// Reads items one after another, checking every length before it is used.
class ItemReader {
 public:
  explicit ItemReader(ConstBytes in) : in_(in) {}

  Result<void> Next(std::vector<RegionItem>& items) {
    if (in_.size() < kItemHeaderBytes) return Bad("an item is cut off");
    const uint32_t leaf_index = LoadLe<uint16_t>(in_, 0);
    const auto kind = static_cast<ItemKind>(LoadLe<uint16_t>(in_, 2));
    const uint32_t count = LoadLe<uint32_t>(in_, 4);
    if (leaf_index >= kLeavesPerRegion || leaf_index < next_leaf_)
      return Bad("leaves out of order");
    switch (kind) {
      case ItemKind::kSparse:
        return Sparse(leaf_index, count, items);
      case ItemKind::kDense:
        return Dense(leaf_index, count, items);
      case ItemKind::kUniform:
        return Uniform(leaf_index, count, items);
    }
    return Bad("an item of unknown kind");
  }
  [[nodiscard]] bool AtEnd() const noexcept { return in_.empty(); }

 private:
  static Error Bad(std::string_view what) {
    return {Errc::kCorrupt, fmt::format("map region: {}", what)};
  }

  Result<void> Sparse(uint32_t leaf_index, uint32_t count, std::vector<RegionItem>& items) {
    if (count == 0 || count > kSparseMax) return Bad("an impossible number of entries");
    if ((in_.size() - kItemHeaderBytes) / kSparseEntryBytes < count)
      return Bad("a leaf is cut off");
    auto leaf = std::make_shared<Leaf>();
    uint32_t next_index = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const size_t at = kItemHeaderBytes + i * kSparseEntryBytes;
      const uint32_t index = LoadLe<uint16_t>(in_, at);
      LeafEntry entry;
      entry.slot = LoadLe<uint32_t>(in_, at + 2);
      entry.epoch = LoadLe<uint32_t>(in_, at + 6);
      entry.digest = LoadLe<uint64_t>(in_, at + 10);
      if (index < next_index || index >= kBlocksPerLeaf) return Bad("entries out of order");
      if (!IsEntrySlot(entry.slot)) return Bad("an entry points at a superblock");
      leaf->Set(index, entry);
      next_index = index + 1;
    }
    Finish(kItemHeaderBytes + count * kSparseEntryBytes, leaf_index + 1);
    items.push_back({leaf_index, std::move(leaf), {}});
    return {};
  }

  Result<void> Dense(uint32_t leaf_index, uint32_t birth, std::vector<RegionItem>& items) {
    if (in_.size() < kDenseItemBytes) return Bad("a dense item is cut off");
    DensePointer dense;
    dense.first = LoadLe<uint32_t>(in_, 8);
    dense.second = LoadLe<uint32_t>(in_, 12);
    dense.birth = birth;
    dense.hash = LoadLe<uint64_t>(in_, 16);
    if (!IsPlace(dense.first) || !IsPlace(dense.second)) return Bad("a leaf at an impossible slot");
    Finish(kDenseItemBytes, leaf_index + 1);
    items.push_back({leaf_index, nullptr, dense});
    return {};
  }

  Result<void> Uniform(uint32_t leaf_index, uint32_t count, std::vector<RegionItem>& items) {
    if (in_.size() < kUniformItemBytes) return Bad("a uniform item is cut off");
    if (count == 0 || count > kLeavesPerRegion - leaf_index) return Bad("too many uniform leaves");
    LeafEntry entry;
    entry.slot = LoadLe<uint32_t>(in_, 8);
    entry.epoch = LoadLe<uint32_t>(in_, 12);
    if (entry.slot < kSlotEnd) return Bad("a uniform leaf of places");
    for (uint32_t i = 0; i < count; ++i) {
      auto leaf = std::make_shared<Leaf>();
      leaf->SetRange(0, kBlocksPerLeaf, entry);
      items.push_back({leaf_index + i, std::move(leaf), {}});
    }
    Finish(kUniformItemBytes, leaf_index + count);
    return {};
  }

  void Finish(size_t bytes, uint32_t next_leaf) {
    in_ = in_.subspan(bytes);
    next_leaf_ = next_leaf;
  }

  ConstBytes in_;
  uint32_t next_leaf_ = 0;
};

}  // namespace

uint64_t HashOf(ConstBytes bytes) noexcept {
  return XXH3_64bits(bytes.data(), bytes.size());
}

void EncodeRootBlock(std::span<const RegionPointer> root, Bytes block) noexcept {
  for (size_t i = 0; i < kRegionsPerRoot; ++i) {
    StoreLe<uint32_t>(block, i * kRootEntryBytes, root[i].slot);
    StoreLe<uint32_t>(block, i * kRootEntryBytes + 4, root[i].slots);
    StoreLe<uint64_t>(block, i * kRootEntryBytes + 8, root[i].hash);
  }
}

Result<RootBlock> DecodeRootBlock(ConstBytes block) {
  if (block.size() < kSlotBytes) return Error{Errc::kCorrupt, "map root block: cut off"};
  RootBlock root(kRegionsPerRoot);
  for (size_t i = 0; i < kRegionsPerRoot; ++i) {
    root[i].slot = LoadLe<uint32_t>(block, i * kRootEntryBytes);
    root[i].slots = LoadLe<uint32_t>(block, i * kRootEntryBytes + 4);
    root[i].hash = LoadLe<uint64_t>(block, i * kRootEntryBytes + 8);
    if (root[i].slot == 0) continue;
    if (!IsPlace(SlotRun{root[i].slot, root[i].slots}) || root[i].slots > kRegionSlotsMax) {
      return Error{Errc::kCorrupt, fmt::format("map root block: a region of {} slots at slot {}",
                                               root[i].slots, root[i].slot)};
    }
  }
  return root;
}

void EncodeDenseLeaf(const Leaf& leaf, Bytes bytes) noexcept {
  for (uint32_t i = 0; i < kBlocksPerLeaf; ++i) {
    const LeafEntry entry = leaf.Get(i);
    StoreLe<uint32_t>(bytes, i * kLeafEntryBytes, entry.slot);
    StoreLe<uint32_t>(bytes, i * kLeafEntryBytes + 4, entry.epoch);
    StoreLe<uint64_t>(bytes, i * kLeafEntryBytes + 8, entry.digest);
  }
}

Result<std::shared_ptr<Leaf>> DecodeDenseLeaf(ConstBytes bytes) {
  if (bytes.size() < kDenseLeafBytes) return Error{Errc::kCorrupt, "map leaf: cut off"};
  auto leaf = std::make_shared<Leaf>();
  for (uint32_t i = 0; i < kBlocksPerLeaf; ++i) {
    LeafEntry entry;
    entry.slot = LoadLe<uint32_t>(bytes, i * kLeafEntryBytes);
    entry.epoch = LoadLe<uint32_t>(bytes, i * kLeafEntryBytes + 4);
    entry.digest = LoadLe<uint64_t>(bytes, i * kLeafEntryBytes + 8);
    if (entry.slot == kSlotAbsent) continue;
    if (!IsEntrySlot(entry.slot)) {
      return Error{Errc::kCorrupt, "map leaf: an entry points at a superblock"};
    }
    leaf->Set(i, entry);
  }
  return leaf;
}

size_t EncodedItemBytes(const Leaf& leaf) noexcept {
  if (leaf.present() == 0) return 0;
  switch (leaf.shape()) {
    case LeafShape::kDense:
      return kDenseItemBytes;
    case LeafShape::kUniform:
      return kUniformItemBytes;
    case LeafShape::kSparse:
      break;
  }
  return kItemHeaderBytes + leaf.present() * kSparseEntryBytes;
}

AlignedBuffer EncodeRegion(const RegionHeader& header, std::span<const RegionItem> items,
                           std::span<const SlotRun> runs) {
  uint64_t slots = 0;
  for (const SlotRun& run : runs) slots += run.count;
  AlignedBuffer buffer(slots * kSlotBytes);
  const Bytes out = buffer.span();
  FillZero(out);
  const size_t runs_bytes = (runs.size() - 1) * kRunBytes;
  for (size_t i = 1; i < runs.size(); ++i) {
    StoreLe<uint32_t>(out, kRegionHeaderBytes + (i - 1) * kRunBytes, runs[i].first);
    StoreLe<uint32_t>(out, kRegionHeaderBytes + (i - 1) * kRunBytes + 4, runs[i].count);
  }
  ItemWriter writer(out.subspan(kRegionHeaderBytes + runs_bytes));
  for (const RegionItem& item : items) writer.Add(item);
  StoreLe<uint32_t>(out, 0, kRegionMagic);
  StoreLe<uint32_t>(out, 4, header.index);
  StoreLe<uint64_t>(out, 8, header.tag);
  StoreLe<uint32_t>(out, 16, static_cast<uint32_t>(slots));
  StoreLe<uint32_t>(out, 20, static_cast<uint32_t>(runs.size() - 1));
  StoreLe<uint32_t>(out, 24, writer.items());
  StoreLe<uint32_t>(out, 28, static_cast<uint32_t>(writer.used()));
  StoreLe<uint32_t>(out, 32, header.birth);
  return buffer;
}

Result<std::vector<SlotRun>> DecodeRegionRuns(ConstBytes first_run, uint32_t first_slots) {
  if (first_run.size() < kRegionHeaderBytes || LoadLe<uint32_t>(first_run, 0) != kRegionMagic) {
    return Error{Errc::kCorrupt, "map region: the magic is missing"};
  }
  const uint32_t slots = LoadLe<uint32_t>(first_run, 16);
  const uint32_t count = LoadLe<uint32_t>(first_run, 20);
  const Error bad{Errc::kCorrupt, "map region: an impossible list of runs"};
  if (slots > kRegionSlotsMax || count > (first_run.size() - kRegionHeaderBytes) / kRunBytes) {
    return bad;
  }
  std::vector<SlotRun> runs;
  uint64_t total = first_slots;
  for (uint32_t i = 0; i < count; ++i) {
    SlotRun run;
    run.first = LoadLe<uint32_t>(first_run, kRegionHeaderBytes + i * kRunBytes);
    run.count = LoadLe<uint32_t>(first_run, kRegionHeaderBytes + i * kRunBytes + 4);
    if (!IsPlace(run)) return bad;
    total += run.count;
    runs.push_back(run);
  }
  if (total != slots) return bad;
  return runs;
}

Result<RegionContent> DecodeRegion(ConstBytes bytes, uint64_t tag, uint32_t region_index) {
  if (bytes.size() < kRegionHeaderBytes || LoadLe<uint32_t>(bytes, 0) != kRegionMagic) {
    return Error{Errc::kCorrupt, "map region: the magic is missing"};
  }
  if (LoadLe<uint32_t>(bytes, 4) != region_index || LoadLe<uint64_t>(bytes, 8) != tag) {
    return Error{Errc::kCorrupt, "map region: it belongs to another region or image"};
  }
  const uint64_t runs_bytes = uint64_t{LoadLe<uint32_t>(bytes, 20)} * kRunBytes;
  const uint32_t item_count = LoadLe<uint32_t>(bytes, 24);
  const uint64_t item_bytes = LoadLe<uint32_t>(bytes, 28);
  if (kRegionHeaderBytes + runs_bytes + item_bytes > bytes.size()) {
    return Error{Errc::kCorrupt, "map region: longer than its slots"};
  }
  RegionContent content;
  content.birth = LoadLe<uint32_t>(bytes, 32);
  ItemReader reader(bytes.subspan(kRegionHeaderBytes + runs_bytes, item_bytes));
  for (uint32_t i = 0; i < item_count; ++i) TRY(reader.Next(content.items));
  if (!reader.AtEnd()) {
    return Error{Errc::kCorrupt, "map region: bytes left over after the last leaf"};
  }
  return content;
}

}  // namespace mica::native
