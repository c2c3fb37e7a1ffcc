// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/xattr_room.h"

#include <fmt/format.h>

#include <algorithm>

#include "tools/guest/ext4/acl.h"

namespace mica::guest {

namespace {

constexpr size_t kNameBytesMax = 255;
constexpr size_t kEntryBytes = 16;  // without the name
constexpr size_t kAlignment = 4;    // of entries and values
constexpr size_t kEndMark = 4;      // behind the last entry
constexpr size_t kBlockHeaderBytes = 32;
constexpr size_t kMagicBytes = 4;  // before the first entry in an inode
// EXT4_XATTR_MIN_LARGE_EA_SIZE: a larger value leaves no room for an entry of three letters.
constexpr size_t kShortEntryBytes = 20;
constexpr std::string_view kPrefixes[] = {"user.", "trusted.", "security."};

// An attribute as the disk has it.
struct Item {
  std::string name;
  size_t name_bytes = 0;  // behind the prefix
  size_t value_bytes = 0;

  [[nodiscard]] size_t EntryBytes() const { return AlignUp(kEntryBytes + name_bytes, kAlignment); }
  [[nodiscard]] size_t StoredBytes() const {
    return EntryBytes() + AlignUp(value_bytes, kAlignment);
  }
};

Result<void> CheckName(const std::string& name) {
  const size_t dot = name.find('.');
  const bool known =
      IsAclName(name) || std::ranges::any_of(kPrefixes, [&](std::string_view prefix) {
        return name.starts_with(prefix) && name.size() > prefix.size();
      });
  if (known && name.size() - dot - 1 <= kNameBytesMax && name.find('\0') == std::string::npos)
    return {};
  return Error{Errc::kUnsupported, fmt::format("ext4 cannot store an attribute named {}", name)};
}

Result<std::vector<Item>> Measure(const Xattrs& xattrs) {
  TRY(CheckXattrNames(xattrs));
  std::vector<Item> items;
  for (const auto& [name, value] : xattrs) {
    if (!IsAclName(name)) {
      items.push_back({name, name.size() - name.find('.') - 1, value.size()});
      continue;
    }
    ASSIGN(const std::string disk, AclToDisk(value));
    items.push_back({name, 0, disk.size()});
  }
  return items;
}

// The items that together fill `room` bytes best go to the front; returns how many they are.
size_t FillBest(std::vector<Item>& items, size_t room) {
  const size_t words = room / kAlignment;
  std::vector<size_t> last(words + 1);  // by what is filled: the last item in it, counted from 1
  const auto reached = [&](size_t fill) { return fill == 0 || last[fill] != 0; };
  for (size_t i = 0; i < items.size(); ++i) {
    const size_t size = items[i].StoredBytes() / kAlignment;
    for (size_t fill = words; fill >= size; --fill) {
      if (!reached(fill) && reached(fill - size)) last[fill] = i + 1;
    }
  }
  size_t fill = words;
  while (!reached(fill)) --fill;
  std::vector<Item> chosen;
  while (fill > 0) {
    const size_t i = last[fill] - 1;
    fill -= items[i].StoredBytes() / kAlignment;
    chosen.push_back(std::move(items[i]));
    // The others of the sum stand before it.
    items.erase(items.begin() + static_cast<ptrdiff_t>(i));
  }
  items.insert(items.begin(), chosen.begin(), chosen.end());
  return chosen.size();
}

bool TakeFirstPlace(XattrRoom& room, size_t bytes) {
  for (size_t* place : {&room.inode_bytes, &room.block_bytes}) {
    if (bytes > *place) continue;
    *place -= bytes;
    return true;
  }
  return false;
}

bool Place(XattrRoom& room, const Item& item) {
  const bool apart = room.value_inodes && item.value_bytes > room.value_bytes_max;
  if (!apart && TakeFirstPlace(room, item.StoredBytes())) return true;
  return room.value_inodes && TakeFirstPlace(room, item.EntryBytes());
}

}  // namespace

XattrRoom RoomForXattrs(ext2_filsys fs, size_t extra_bytes) {
  XattrRoom room;
  const size_t fixed = EXT2_GOOD_OLD_INODE_SIZE + extra_bytes + kMagicBytes + kEndMark;
  const size_t inode_bytes = EXT2_INODE_SIZE(fs->super);
  if (inode_bytes > fixed) room.inode_bytes = inode_bytes - fixed;
  room.block_bytes = fs->blocksize - kBlockHeaderBytes - kEndMark;
  room.value_bytes_max = room.block_bytes - kShortEntryBytes;
  room.value_inodes = ext2fs_has_feature_ea_inode(fs->super);
  return room;
}

XattrRoom LeastRoomForXattrs(ext2_filsys fs) {
  // Linux gives new inodes all the fields that it knows, whatever the superblock wants.
  constexpr size_t kKnown = sizeof(ext2_inode_large) - EXT2_GOOD_OLD_INODE_SIZE;
  const size_t wanted = std::max(fs->super->s_want_extra_isize, fs->super->s_min_extra_isize);
  return RoomForXattrs(fs, std::max(kKnown, wanted));
}

void TakeRoom(size_t& bytes, size_t name_bytes, size_t value_bytes) {
  bytes -= std::min(bytes, Item{{}, name_bytes, value_bytes}.StoredBytes());
}

std::optional<std::vector<std::string>> ArrangeXattrs(XattrRoom room, const Xattrs& xattrs) {
  Result<std::vector<Item>> items = Measure(xattrs);
  if (!items) return std::nullopt;
  size_t bytes = 0;
  for (const Item& item : *items) bytes += item.StoredBytes();
  // What fits into the block alone fits in any order.
  if (bytes > room.block_bytes) {
    const size_t in_inode = FillBest(*items, room.inode_bytes);
    // Small ones keep their values beside them; large ones can go elsewhere.
    std::ranges::sort(items->begin() + static_cast<ptrdiff_t>(in_inode), items->end(), {},
                      &Item::value_bytes);
  }
  std::vector<std::string> order;
  for (const Item& item : *items) {
    if (!Place(room, item)) return std::nullopt;
    order.push_back(item.name);
  }
  return order;
}

Result<void> CheckXattrNames(const Xattrs& xattrs) {
  for (const auto& [name, value] : xattrs) TRY(CheckName(name));
  return {};
}

}  // namespace mica::guest
