// SPDX-License-Identifier: Apache-2.0
// MountedView: a volume of a disk that a mounter has mounted: for reading over a scratch layer in
// memory, which takes what the replay of its log writes, or for writing.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/filters/pieces_device.h"
#include "tools/guest/disk.h"
#include "tools/guest/mounted/fuse_file.h"
#include "tools/guest/mounted/kernel_mount.h"
#include "tools/guest/mounted/mounter.h"
#include "tools/guest/mounted/superblock.h"
#include "tools/guest/overlay_device.h"

namespace mica::guest {

// The bytes of a volume as a file that a mounter has; the kernel lets go of them before this is
// gone. Borrows mounter and device.
class VolumeFile {
 public:
  static Result<std::unique_ptr<VolumeFile>> Attach(Mounter& mounter, BlockDevice& device);
  VolumeFile(const VolumeFile&) = delete;
  VolumeFile& operator=(const VolumeFile&) = delete;
  ~VolumeFile();

  [[nodiscard]] uint32_t session() const noexcept { return session_; }
  // The first error of the device, while it is attached.
  [[nodiscard]] std::optional<Error> failed() const {
    return file_ ? file_->failed() : std::nullopt;
  }
  // The file itself, to be read; close it before Detach.
  Result<UniqueFd> Open();
  // Unmounts, and waits until nobody has the bytes any more. Errors of the file system's last
  // writes, and the device's.
  Result<void> Detach();

 private:
  VolumeFile(Mounter& mounter, uint32_t session) : mounter_(mounter), session_(session) {}

  Mounter& mounter_;
  uint32_t session_;
  std::unique_ptr<FuseFile> file_;
};

// Where the volume is, and what it holds.
struct MountedPlace {
  BlockDevice& disk;
  const std::vector<ByteRange>& pieces;
  VolumeKind kind = VolumeKind::kUnknown;
};

class MountedView {
 public:
  // Borrows mounter and disk. Errors of ReadMountedSuperblock and MountDevice.
  static Result<std::unique_ptr<MountedView>> Open(Mounter& mounter, const MountedPlace& place,
                                                   MountAccess access);
  // For writing, to be used with the inodes that `like` has listed: another view of the same volume
  // as it is now.
  static Result<std::unique_ptr<MountedView>> OpenLike(Mounter& mounter, const MountedPlace& place,
                                                       MountedView& like);

  [[nodiscard]] RemoteTree& volume() noexcept { return *tree_; }
  // Of a volume that is mounted for writing.
  [[nodiscard]] VolumeWriter& writer() noexcept { return *writer_; }
  [[nodiscard]] const MountedSuperblock& superblock() const noexcept { return superblock_; }
  // What the replay changed, relative to the volume, in order.
  [[nodiscard]] std::vector<ByteRange> replayed() const;
  // Why the kernel speaks of I/O errors, where it does.
  [[nodiscard]] std::optional<Error> failed() const { return file_->failed(); }
  // Unmounts; of a volume that was written, everything is on the disk afterwards.
  Result<void> Close();

 private:
  static Result<std::unique_ptr<MountedView>> Mount(Mounter& mounter, const MountedPlace& place,
                                                    MountAccess access, uint32_t like);

  MountedView(EventLoop& loop, const MountedPlace& place)
      : loop_(loop), pieces_(place.disk, place.pieces) {}

  EventLoop& loop_;
  PiecesDevice pieces_;
  std::optional<OverlayDevice> overlay_;
  MountedSuperblock superblock_;
  std::unique_ptr<VolumeFile> file_;
  std::unique_ptr<RemoteTree> tree_;
  std::unique_ptr<RemoteWriter> writer_;
};

}  // namespace mica::guest
