// SPDX-License-Identifier: Apache-2.0
// Ext4Volume: the files of an ext2, ext3 or ext4 file system, through libext2fs over a SyncDevice.
#pragma once

#include <ext2fs/ext2fs.h>

#include <memory>

#include "engine/base/result.h"
#include "tools/guest/ext4/file_map.h"
#include "tools/guest/ext4/inode.h"
#include "tools/guest/ext4/io_manager.h"
#include "tools/guest/sync_device.h"
#include "tools/guest/volume.h"

namespace mica::guest {

enum class Ext4Access : uint8_t { kReadOnly, kReadWrite };

enum class DirtyJournal : uint8_t {
  kRefuse,  // kBusy: the caller replays the journal into an overlay and opens that
  kIgnore,  // the files as they are without the journal; for looking at damage only
};

struct Ext4Options {
  Ext4Access access = Ext4Access::kReadOnly;
  DirtyJournal dirty_journal = DirtyJournal::kRefuse;
};

// One thread. Errors: kUnsupported for features libext2fs does not know, kCorrupt for damage.
class Ext4Volume final : public Volume {
 public:
  // Borrows the device, which holds exactly the file system (a partition, not a disk). Writes
  // nothing.
  static Result<std::unique_ptr<Ext4Volume>> Open(SyncDevice& device, Ext4Options options);
  // Abandons what Close has not written.
  ~Ext4Volume() override;

  // Writes bitmaps, group descriptors and superblock back and flushes the device. The volume is
  // unusable afterwards, also when this fails.
  Result<void> Close();

  [[nodiscard]] uint64_t root() const noexcept override { return EXT2_ROOT_INO; }
  Result<Object> Stat(uint64_t inode) override;
  Result<std::optional<uint64_t>> LookupIn(uint64_t directory, std::string_view leaf) override;
  Result<std::vector<DirectoryEntry>> List(uint64_t directory) override;
  Result<size_t> Read(uint64_t inode, uint64_t offset, Bytes buffer) override;
  Result<std::vector<ByteRange>> StoredRanges(uint64_t inode) override;
  [[nodiscard]] bool CanHold(const Xattrs& xattrs) const override;
  [[nodiscard]] Timestamp StoredTime(Timestamp time) const override;

  // For the parts of tools/guest/ext4 that work on the file system below its files. `fs` has its
  // bitmaps loaded when the volume is open for writing.
  [[nodiscard]] ext2_filsys fs() noexcept { return fs_; }
  [[nodiscard]] IoManager& io() noexcept { return io_; }
  Result<RawInode> Inode(uint64_t number) { return ReadInode(fs_, io_, number); }
  // Whoever changes the content or the map of inodes says so: Read keeps the last map.
  void ForgetMaps() noexcept { cached_inode_.number = 0; }

 private:
  explicit Ext4Volume(SyncDevice& device) : io_(device) {}

  // Makes cached_inode_ and cached_map_ those of `number`, a regular file or symlink.
  Result<void> CacheMap(uint64_t number);
  Result<ObjectKind> KindOfEntry(uint8_t file_type, uint32_t inode);

  IoManager io_;
  ext2_filsys fs_ = nullptr;
  RawInode cached_inode_;
  FileMap cached_map_;
};

}  // namespace mica::guest
