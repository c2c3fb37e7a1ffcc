// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/leaf.h"

#include <algorithm>

#include "engine/base/check.h"

namespace mica::native {

namespace {
// Going back to sparse well below the limit keeps a leaf at the limit from flapping.
constexpr uint32_t kSparseAgain = kSparseMax * 3 / 4;
}  // namespace

Leaf::Leaf(const Leaf& other)
    : shape_(other.shape_),
      present_(other.present_),
      sparse_(other.sparse_),
      dense_(other.dense_ == nullptr ? nullptr : std::make_unique<Dense>(*other.dense_)),
      uniform_(other.uniform_) {}

LeafEntry Leaf::Get(uint32_t index) const noexcept {
  switch (shape_) {
    case LeafShape::kDense:
      return (*dense_)[index];
    case LeafShape::kUniform:
      return uniform_;
    case LeafShape::kSparse:
      break;
  }
  const auto found = std::ranges::lower_bound(sparse_, index, {}, &SparseEntry::index);
  if (found == sparse_.end() || found->index != index) return {};
  return found->entry;
}

void Leaf::Set(uint32_t index, const LeafEntry& entry) {
  if (shape_ == LeafShape::kUniform) BecomeDense();
  if (shape_ == LeafShape::kSparse) {
    SetSparse(index, entry);
    if (present_ > kSparseMax) BecomeDense();
    return;
  }
  LeafEntry& old = (*dense_)[index];
  if (old.slot != kSlotAbsent) --present_;
  if (entry.slot != kSlotAbsent) ++present_;
  old = entry;
  if (present_ < kSparseAgain) BecomeSparse();
}

void Leaf::SetSparse(uint32_t index, const LeafEntry& entry) {
  const auto found = std::ranges::lower_bound(sparse_, index, {}, &SparseEntry::index);
  const bool exists = found != sparse_.end() && found->index == index;
  if (entry.slot == kSlotAbsent) {
    if (exists) sparse_.erase(found);
  } else if (exists) {
    found->entry = entry;
  } else {
    sparse_.insert(found, SparseEntry{index, entry});
  }
  present_ = static_cast<uint32_t>(sparse_.size());
}

void Leaf::SetRange(uint32_t begin, uint32_t end, const LeafEntry& entry) {
  MICA_CHECK(!IsPlace(entry.slot));
  if (begin == 0 && end == kBlocksPerLeaf) return SetAll(entry);
  for (uint32_t i = begin; i < end; ++i) Set(i, entry);
}

void Leaf::SetPresent(uint32_t begin, uint32_t end, const LeafEntry& entry) {
  MICA_CHECK(!IsPlace(entry.slot) && entry.slot != kSlotAbsent);
  if (present_ == 0) return;
  if (begin == 0 && end == kBlocksPerLeaf) return SetAll(entry);
  for (uint32_t i = begin; i < end; ++i) {
    if (Get(i).slot != kSlotAbsent) Set(i, entry);
  }
}

void Leaf::SetAll(const LeafEntry& entry) {
  sparse_.clear();
  sparse_.shrink_to_fit();
  dense_.reset();
  uniform_ = entry;
  const bool absent = entry.slot == kSlotAbsent;
  shape_ = absent ? LeafShape::kSparse : LeafShape::kUniform;
  present_ = absent ? 0 : kBlocksPerLeaf;
}

size_t Leaf::MemoryBytes() const noexcept {
  return sizeof(Leaf) + sparse_.capacity() * sizeof(SparseEntry) +
         (dense_ == nullptr ? 0 : sizeof(Dense));
}

void Leaf::BecomeDense() {
  auto dense = std::make_unique<Dense>();
  ForEach([&](uint32_t index, const LeafEntry& entry) { (*dense)[index] = entry; });
  dense_ = std::move(dense);
  sparse_ = {};
  shape_ = LeafShape::kDense;
}

void Leaf::BecomeSparse() {
  std::vector<SparseEntry> sparse;
  sparse.reserve(present_);
  ForEach([&](uint32_t index, const LeafEntry& entry) { sparse.push_back({index, entry}); });
  sparse_ = std::move(sparse);
  dense_.reset();
  shape_ = LeafShape::kSparse;
}

}  // namespace mica::native
