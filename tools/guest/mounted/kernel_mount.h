// SPDX-License-Identifier: Apache-2.0
// What the kernel is asked for to look into a file system: a FUSE file system of one file, a loop
// device on that file, a mount of the loop device. Each is a descriptor and has no name that others
// see or that stays: when the process ends, however, the kernel takes them down.
//
// Needs root. Mounts: fsopen(2), fsmount(2) with MOUNT_ATTR_NOSYMFOLLOW (Linux 5.14); loop
// devices: loop(4), LOOP_CONFIGURE.
#pragma once

#include <string>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace mica::guest {

enum class MountAccess : uint8_t { kReadOnly, kReadWrite };

// What stands behind the file is whoever answers on the device, in another process.
struct FuseMount {
  UniqueFd device;  // /dev/fuse; to be given away and closed, so that a dead server is noticed
  UniqueFd root;    // the file; to be opened through OpenAgain
};
Result<FuseMount> MountFuseFile();
// A descriptor for reading or writing of what an O_PATH one stands for.
Result<UniqueFd> OpenAgain(int path_fd, int flags);

struct LoopDevice {
  UniqueFd fd;       // while this or a mount of it is open, the device is there
  std::string path;  // "/dev/loop3"
};
Result<LoopDevice> AttachLoop(int file_fd);

struct MountRequest {
  std::string file_system;  // "xfs"
  std::string device;       // "/dev/loop3"
  MountAccess access = MountAccess::kReadOnly;
};
// The root directory, open. No symlink is followed on it, no device opened, nothing executed.
// kUnsupported for file systems, and features of them, that this kernel does not have.
Result<UniqueFd> MountDevice(const MountRequest& request);

// What the kernel remembers of a btrfs device that is no longer mounted confuses it when another
// one with the same UUID comes.
void ForgetBtrfs(const std::string& device);

}  // namespace mica::guest
