// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/disk_model.h"

#include <algorithm>

#include "engine/base/check.h"
#include "engine/digest.h"

namespace mica::testing {

DiskModel::DiskModel(uint64_t size, std::vector<ByteRange> extents)
    : size_(size), extents_(std::move(extents)) {
  for (const ByteRange& extent : extents_) {
    for (uint64_t at = extent.offset; at < extent.end(); at += kBlockBytes) {
      Block block;
      block.content.resize(std::min(kBlockBytes, size_ - at));
      block.versions.push_back(DigestBlock(block.content));
      blocks_.emplace(at / kBlockBytes, std::move(block));
    }
  }
}

// Calls `edit(block's content, the part of it in range, the guest offset of that part)`.
template <class Edit>
void DiskModel::Begin(ByteRange range, const Edit& edit) {
  for (uint64_t at = range.offset; at < range.end();) {
    const uint64_t number = at / kBlockBytes;
    const uint64_t end = std::min(range.end(), (number + 1) * kBlockBytes);
    Block& block = blocks_.at(number);
    edit(Bytes(block.content).subspan(at % kBlockBytes, end - at), at);
    block.versions.push_back(DigestBlock(block.content));
    at = end;
  }
}

void DiskModel::BeginWrite(uint64_t offset, ConstBytes data) {
  Begin({offset, data.size()}, [&](Bytes part, uint64_t at) {
    std::ranges::copy(data.subspan(at - offset, part.size()), part.begin());
  });
}

void DiskModel::BeginZero(ByteRange range) {
  Begin(range, [](Bytes part, uint64_t) { FillZero(part); });
}

void DiskModel::Complete(ByteRange range) {
  for (uint64_t n = range.offset / kBlockBytes; n * kBlockBytes < range.end(); ++n) {
    Block& block = blocks_.at(n);
    block.completed = block.versions.size() - 1;
  }
}

DiskModel::Snapshot DiskModel::Completed() const {
  Snapshot snapshot;
  for (const auto& [number, block] : blocks_) snapshot.emplace(number, block.completed);
  return snapshot;
}

DiskModel::Snapshot DiskModel::CompletedIn(ByteRange range) const {
  Snapshot snapshot;
  for (uint64_t n = range.offset / kBlockBytes; n * kBlockBytes < range.end(); ++n) {
    snapshot.emplace(n, blocks_.at(n).completed);
  }
  return snapshot;
}

void DiskModel::Covered(const Snapshot& snapshot) {
  for (const auto& [number, version] : snapshot) {
    Block& block = blocks_.at(number);
    block.durable = std::max(block.durable, version);
  }
}

DiskModel::Snapshot DiskModel::Begun() const {
  Snapshot snapshot;
  for (const auto& [number, block] : blocks_) snapshot.emplace(number, block.versions.size() - 1);
  return snapshot;
}

bool DiskModel::HadBetween(uint64_t number, ConstBytes content, size_t from, size_t to) const {
  const std::vector<BlockDigest>& versions = blocks_.at(number).versions;
  const auto begin = versions.begin();
  const auto end = begin + static_cast<ptrdiff_t>(to) + 1;
  return std::find(begin + static_cast<ptrdiff_t>(from), end, DigestBlock(content)) != end;
}

void DiskModel::BeginRevert(const Snapshot& from, const Snapshot& to) {
  for (auto& [number, block] : blocks_) {
    block.reverted = block.versions.size();
    for (size_t i = from.at(number); i <= to.at(number); ++i) {
      block.versions.push_back(block.versions[i]);
    }
  }
}

void DiskModel::CompleteRevert() {
  for (auto& [number, block] : blocks_) {
    block.completed = block.versions.size() - 1;
    block.durable = block.reverted;
  }
}

void DiskModel::Read(uint64_t offset, Bytes out) const {
  for (size_t done = 0; done < out.size();) {
    const uint64_t at = offset + done;
    const Content& content = blocks_.at(at / kBlockBytes).content;
    const size_t begin = at % kBlockBytes;
    const size_t part = std::min(content.size() - begin, out.size() - done);
    std::copy_n(content.begin() + static_cast<ptrdiff_t>(begin), part, out.data() + done);
    done += part;
  }
}

bool DiskModel::Accepts(uint64_t number, ConstBytes content) const {
  const Block& block = blocks_.at(number);
  const BlockDigest digest = DigestBlock(content);
  return std::find(block.versions.begin() + static_cast<ptrdiff_t>(block.durable),
                   block.versions.end(), digest) != block.versions.end();
}

void DiskModel::Resolve(uint64_t number, ConstBytes content, bool durable) {
  Block& block = blocks_.at(number);
  block.content.assign(content.begin(), content.end());
  block.versions.push_back(DigestBlock(content));
  block.completed = block.versions.size() - 1;
  if (durable) block.durable = block.completed;
}

}  // namespace mica::testing
