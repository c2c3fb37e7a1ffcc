// SPDX-License-Identifier: Apache-2.0
// The verdict of the real e2fsck on a volume of any BlockDevice, without root, mounts or FUSE: it
// runs on a copy of the metadata alone.
#pragma once

#include <chrono>
#include <string>

#include "engine/base/result.h"
#include "tools/guest/sync_device.h"

namespace mica::guest {

struct CheckOptions {
  std::string scratch_folder;  // for the copy; empty: the system's. The copy has no name there.
  std::chrono::seconds timeout{1800};
};

struct CheckReport {
  bool clean = false;
  std::string text;           // what e2fsck said
  uint64_t bytes_copied = 0;  // of metadata
};

// Forced, read-only check (e2fsck -fn) of the file system on `device`. Not clean is an answer, not
// an error, also where the damage keeps the file system from being opened. A dirty journal is not
// replayed: give it a replayed view. kNotFound when e2fsck is not installed.
Result<CheckReport> CheckExt4(SyncDevice& device, const CheckOptions& options);

}  // namespace mica::guest
