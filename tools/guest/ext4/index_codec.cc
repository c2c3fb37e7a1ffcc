// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/index_codec.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/base/check.h"
#include "engine/base/checked_math.h"
#include "engine/digest.h"
#include "tools/guest/byte_stream.h"

namespace mica::guest {
namespace {

constexpr std::string_view kMagic = "micaidx4";
constexpr uint32_t kVersion = 1;
constexpr size_t kLabelMax = 4096;
constexpr size_t kHeaderBytes = 72;
constexpr size_t kExtentBytes = 21;
constexpr size_t kNameBytes = 12;
constexpr size_t kOwnerBytes = 8;
constexpr size_t kDigestBytes = 16;

Error Bad(std::string_view what) {
  return {Errc::kCorrupt, fmt::format("stored ext4 index: {}", what)};
}

std::array<uint8_t, kDigestBytes> DigestOf(ConstBytes bytes) {
  StreamDigest digest;
  digest.Update(bytes);
  return digest.Finish();
}

struct Counts {
  uint32_t label = 0;
  uint64_t extents = 0;
  uint64_t names = 0;
  uint64_t owners = 0;
  uint64_t leaf_bytes = 0;

  // Header and trailer included; none when it wraps.
  [[nodiscard]] std::optional<uint64_t> TotalBytes() const {
    uint64_t total = kHeaderBytes + kDigestBytes + label;
    const uint64_t parts[][2] = {
        {extents, kExtentBytes}, {names, kNameBytes}, {owners, kOwnerBytes}, {leaf_bytes, 1}};
    for (const auto& [count, bytes] : parts) {
      const auto part = CheckedMultiply(count, bytes);
      const auto sum = part ? CheckedAdd(total, *part) : std::nullopt;
      if (!sum) return std::nullopt;
      total = *sum;
    }
    return total;
  }
};

}  // namespace

class IndexWriter {
 public:
  static std::vector<std::byte> Write(const Ext4Index& index, std::string_view label) {
    const Counts counts{static_cast<uint32_t>(label.size()), index.extents_.size(),
                        index.names_.size(), index.value_owners_.size(), index.leaf_bytes_.size()};
    ByteWriter out;
    out.Reserve(counts.TotalBytes().value_or(0));
    out.PutBytes(AsBytes(kMagic));
    out.Put(kVersion);
    out.Put(counts.label);
    out.Put(index.shape_.block_bytes);
    out.Put(index.shape_.inode_bytes);
    out.Put(index.shape_.inodes_per_group);
    out.Put(index.shape_.inode_count);
    out.Put(index.shape_.block_count);
    for (const uint64_t n : {counts.extents, counts.names, counts.owners, counts.leaf_bytes}) {
      out.Put(n);
    }
    out.PutBytes(AsBytes(label));
    WriteRows(index, out);
    const auto digest = DigestOf(out.bytes());
    out.PutBytes(std::as_bytes(std::span(digest)));
    return std::move(out.bytes());
  }

 private:
  static void WriteRows(const Ext4Index& index, ByteWriter& out) {
    for (const IndexExtent& extent : index.extents_) {
      out.Put(extent.block);
      out.Put(extent.length);
      out.Put(extent.inode);
      out.Put(extent.logical);
      out.Put(static_cast<uint8_t>(extent.use));
    }
    for (const auto& name : index.names_) {
      out.Put(name.child);
      out.Put(name.parent);
      out.Put(name.leaf);
    }
    out.PutBytes(AsBytes(index.leaf_bytes_));
    for (const ValueOwner& row : index.value_owners_) {
      out.Put(row.value);
      out.Put(row.owner);
    }
  }
};

class IndexReader {
 public:
  explicit IndexReader(ConstBytes bytes) : bytes_(bytes) {}

  Result<StoredIndex> Read() {
    TRY(ReadHeader());
    ByteReader in(bytes_.subspan(kHeaderBytes));
    stored_.label = in.TakeText(counts_.label);
    ReadRows(in);
    TRY(CheckExtents());
    TRY(CheckNames());
    if (!std::ranges::is_sorted(stored_.index.value_owners_)) return Bad("owners out of order");
    return std::move(stored_);
  }

 private:
  Result<void> ReadHeader();
  void ReadRows(ByteReader& in);
  [[nodiscard]] Result<void> CheckExtents() const;
  [[nodiscard]] Result<void> CheckNames() const;

  ConstBytes bytes_;
  Counts counts_;
  StoredIndex stored_;
};

Result<void> IndexReader::ReadHeader() {
  if (bytes_.size() < kHeaderBytes + kDigestBytes) return Bad("too short");
  if (AsText(bytes_.first(kMagic.size())) != kMagic) return Bad("this is not an index");
  ByteReader in(bytes_.subspan(kMagic.size()));
  const auto version = in.Take<uint32_t>();
  if (version != kVersion) {
    return Error{
        Errc::kUnsupported,
        fmt::format("stored ext4 index of version {}; this build reads {}", version, kVersion)};
  }
  counts_.label = in.Take<uint32_t>();
  VolumeShape& shape = stored_.index.shape_;
  shape.block_bytes = in.Take<uint32_t>();
  shape.inode_bytes = in.Take<uint32_t>();
  shape.inodes_per_group = in.Take<uint32_t>();
  shape.inode_count = in.Take<uint32_t>();
  shape.block_count = in.Take<uint64_t>();
  for (uint64_t* count : {&counts_.extents, &counts_.names, &counts_.owners, &counts_.leaf_bytes}) {
    *count = in.Take<uint64_t>();
  }
  if (counts_.label > kLabelMax || counts_.TotalBytes() != bytes_.size()) {
    return Bad("its length contradicts its header");
  }
  const auto digest = DigestOf(bytes_.first(bytes_.size() - kDigestBytes));
  if (!std::ranges::equal(std::as_bytes(std::span(digest)), bytes_.last(kDigestBytes))) {
    return Bad("its checksum does not match");
  }
  return {};
}

void IndexReader::ReadRows(ByteReader& in) {
  Ext4Index& index = stored_.index;
  index.extents_.resize(counts_.extents);
  for (IndexExtent& extent : index.extents_) {
    extent.block = in.Take<uint64_t>();
    extent.length = in.Take<uint32_t>();
    extent.inode = in.Take<uint32_t>();
    extent.logical = in.Take<uint32_t>();
    extent.use = static_cast<BlockUse>(in.Take<uint8_t>());
  }
  index.names_.resize(counts_.names);
  for (auto& name : index.names_) {
    name.child = in.Take<uint32_t>();
    name.parent = in.Take<uint32_t>();
    name.leaf = in.Take<uint32_t>();
  }
  index.leaf_bytes_ = in.TakeText(counts_.leaf_bytes);
  index.value_owners_.resize(counts_.owners);
  for (ValueOwner& row : index.value_owners_) {
    row.value = in.Take<uint32_t>();
    row.owner = in.Take<uint32_t>();
  }
}

Result<void> IndexReader::CheckExtents() const {
  const VolumeShape& shape = stored_.index.shape_;
  uint64_t block = 0;
  for (const IndexExtent& extent : stored_.index.extents_) {
    if (extent.block < block || extent.length == 0 || extent.use > BlockUse::kXattr ||
        !FitsInside({extent.block, extent.length}, shape.block_count) ||
        extent.inode > shape.inode_count) {
      return Bad("an impossible extent");
    }
    block = extent.use == BlockUse::kXattr ? extent.block : extent.end();
  }
  return {};
}

Result<void> IndexReader::CheckNames() const {
  const std::string& leaves = stored_.index.leaf_bytes_;
  uint32_t child = 0;
  for (const auto& name : stored_.index.names_) {
    if (name.child < child || name.leaf >= leaves.size() ||
        static_cast<uint8_t>(leaves[name.leaf]) >= leaves.size() - name.leaf) {
      return Bad("an impossible name");
    }
    child = name.child;
  }
  return {};
}

std::vector<std::byte> EncodeIndex(const Ext4Index& index, std::string_view label) {
  MICA_CHECK(label.size() <= kLabelMax);
  return IndexWriter::Write(index, label);
}

Result<StoredIndex> DecodeIndex(ConstBytes bytes) {
  return IndexReader(bytes).Read();
}

}  // namespace mica::guest
