// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/xattr_reader.h"

#include <fmt/format.h>

#include "tools/guest/ext4/acl.h"
#include "tools/guest/ext4/content.h"

namespace mica::guest {

namespace {

constexpr uint32_t kMagic = 0xEA020000;
constexpr size_t kEntryBytes = 16;  // without the name
constexpr size_t kBlockHeaderBytes = 32;
constexpr size_t kValueBytesMax = 65536;  // XATTR_SIZE_MAX of Linux
constexpr uint8_t kSystemIndex = 7;

struct Prefix {
  uint8_t index;
  std::string_view text;
  bool whole;  // the prefix is the full name
};
constexpr Prefix kPrefixes[] = {
    {1, "user.", false},
    {2, "system.posix_acl_access", true},
    {3, "system.posix_acl_default", true},
    {4, "trusted.", false},
    {6, "security.", false},
    {8, "system.richacl", true},
    {10, "gnu.", false},
};

Error Corrupt(const RawInode& inode, std::string_view what) {
  return Error{Errc::kCorrupt,
               fmt::format("extended attributes of inode {}: {}", inode.number, what)};
}

// One area of entries; value offsets count from the start of `values`.
struct Area {
  ConstBytes entries;
  ConstBytes values;
};

class AreaReader {
 public:
  AreaReader(ext2_filsys fs, IoManager& io, const RawInode& inode, std::vector<RawXattr>& to)
      : fs_(fs), io_(io), inode_(inode), to_(to) {}

  Result<void> Read(const Area& area) {
    ConstBytes rest = area.entries;
    while (rest.size() >= 4 && LoadLe<uint32_t>(rest, 0) != 0) {
      if (rest.size() < kEntryBytes) return Corrupt(inode_, "an entry is cut off");
      const auto name_bytes = std::to_integer<size_t>(rest[0]);
      const size_t entry_bytes = AlignUp(kEntryBytes + name_bytes, 4);
      if (rest.size() < entry_bytes) return Corrupt(inode_, "a name is cut off");
      RawXattr xattr;
      xattr.index = std::to_integer<uint8_t>(rest[1]);
      xattr.leaf = AsText(rest.subspan(kEntryBytes, name_bytes));
      xattr.value_inode = LoadLe<uint32_t>(rest, 4);
      TRY(ReadValue(area, rest, xattr));
      to_.push_back(std::move(xattr));
      rest = rest.subspan(entry_bytes);
    }
    return {};
  }

 private:
  Result<void> ReadValue(const Area& area, ConstBytes entry, RawXattr& xattr) {
    const auto offset = LoadLe<uint16_t>(entry, 2);
    const auto size = LoadLe<uint32_t>(entry, 8);
    if (size > kValueBytesMax) return Corrupt(inode_, "a value is too large");
    if (xattr.value_inode != 0) return ReadValueInode(size, xattr);
    if (size == 0) return {};
    if (offset > area.values.size() || size > area.values.size() - offset) {
      return Corrupt(inode_, "a value lies outside its area");
    }
    xattr.value = AsText(area.values.subspan(offset, size));
    return {};
  }

  Result<void> ReadValueInode(size_t size, RawXattr& xattr) {
    if (!ext2fs_has_feature_ea_inode(fs_->super)) {
      return Corrupt(inode_, "a value inode without the ea_inode feature");
    }
    ASSIGN(const RawInode value, ReadInode(fs_, io_, xattr.value_inode));
    if (!value.Has(EXT4_EA_INODE_FL) || value.Has(EXT4_INLINE_DATA_FL) || value.size() != size) {
      return Corrupt(inode_, fmt::format("inode {} is not its value", xattr.value_inode));
    }
    ASSIGN(const FileMap map, MapInode(fs_, io_, value));
    xattr.value.resize(size);
    const Bytes to = std::as_writable_bytes(std::span(xattr.value));
    return ReadMapped(fs_, io_, map, {0, size}, to);
  }

  ext2_filsys fs_;
  IoManager& io_;
  const RawInode& inode_;
  std::vector<RawXattr>& to_;
};

// The area behind the fixed fields of the inode; empty when it is not in use.
Area AreaInInode(const RawInode& inode) {
  const size_t start = EXT2_GOOD_OLD_INODE_SIZE + size_t{inode.large().i_extra_isize};
  if (inode.disk_bytes <= EXT2_GOOD_OLD_INODE_SIZE || inode.large().i_extra_isize < 4 ||
      start + 4 > inode.disk_bytes) {
    return {};
  }
  const ConstBytes area = ConstBytes(inode.bytes).subspan(start, inode.disk_bytes - start);
  if (LoadLe<uint32_t>(area, 0) != kMagic) return {};
  return {area.subspan(4), area.subspan(4)};
}

bool IsInlineTail(const RawXattr& xattr) {
  return xattr.index == kSystemIndex && xattr.leaf == "data";
}

}  // namespace

Result<std::vector<RawXattr>> ReadRawXattrs(ext2_filsys fs, IoManager& io, const RawInode& inode) {
  std::vector<RawXattr> found;
  AreaReader reader(fs, io, inode, found);
  TRY(reader.Read(AreaInInode(inode)));
  const blk64_t block = ext2fs_file_acl_block(fs, inode.basic());
  if (block == 0) return found;
  if (block < fs->super->s_first_data_block || block >= ext2fs_blocks_count(fs->super)) {
    return Corrupt(inode, fmt::format("block {} lies outside the file system", block));
  }
  std::vector<std::byte> buffer(fs->blocksize);
  const errcode_t code = ext2fs_read_ext_attr3(fs, block, buffer.data(), inode.number);
  if (code != 0)
    return Ext2Error(io, code, fmt::format("attribute block of inode {}", inode.number));
  if (LoadLe<uint32_t>(buffer, 0) != kMagic)
    return Corrupt(inode, "the block has no attribute header");
  const ConstBytes whole(buffer);
  const size_t in_inode = found.size();
  TRY(reader.Read({whole.subspan(kBlockHeaderBytes), whole}));
  for (size_t i = in_inode; i < found.size(); ++i) found[i].in_block = true;
  return found;
}

std::string FullName(const RawXattr& xattr) {
  const auto* prefix = std::ranges::find(kPrefixes, xattr.index, &Prefix::index);
  if (prefix == std::end(kPrefixes)) return {};
  return prefix->whole ? std::string(prefix->text) : std::string(prefix->text) + xattr.leaf;
}

Result<Xattrs> ReadXattrs(ext2_filsys fs, IoManager& io, const RawInode& inode) {
  ASSIGN(std::vector<RawXattr> raw, ReadRawXattrs(fs, io, inode));
  Xattrs xattrs;
  for (RawXattr& xattr : raw) {
    std::string name = FullName(xattr);
    if (name.empty()) continue;
    if (name.find('\0') != std::string::npos) return Corrupt(inode, "a name holds a zero byte");
    if (IsAclName(name)) {
      Result<std::string> acl = AclFromDisk(xattr.value);
      if (!acl) return Corrupt(inode, acl.error().message);
      xattr.value = *std::move(acl);
    }
    if (!xattrs.emplace(std::move(name), std::move(xattr.value)).second) {
      return Corrupt(inode, "an attribute is there twice");
    }
  }
  return xattrs;
}

Result<std::string> ReadInlineTail(ext2_filsys fs, IoManager& io, const RawInode& inode) {
  std::vector<RawXattr> found;
  AreaReader reader(fs, io, inode, found);
  TRY(reader.Read(AreaInInode(inode)));
  for (RawXattr& xattr : found) {
    if (IsInlineTail(xattr)) return std::move(xattr.value);
  }
  return std::string();
}

}  // namespace mica::guest
