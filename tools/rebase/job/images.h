// SPDX-License-Identifier: Apache-2.0
// The images of one rebase: the VM's chain, its master alone, and the new master.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "engine/image_chain.h"
#include "engine/io/host.h"
#include "engine/space_control.h"
#include "formats/parent_cache.h"

namespace mica::rebase {

// Where what is worked out about the masters is kept for the next VM; empty: nowhere.
struct CacheFolders {
  std::filesystem::path base;
  std::filesystem::path target;
};

// A state of the VM's disk: what it is now, or a snapshot that its delta keeps. A snapshot can be
// looked at while the VM runs.
struct DiskState {
  std::filesystem::path file;
  std::optional<std::string> snapshot;
};

struct RebaseImages {
  std::filesystem::path vm_path;
  std::filesystem::path target_path;
  std::unique_ptr<ParentCache> parents;  // what the chains share
  std::unique_ptr<ImageChain> vm;        // the delta and what it stands on
  std::unique_ptr<ImageChain> base;      // the VM's master: everything below the delta
  std::unique_ptr<ImageChain> target;    // the new master, sealed

  // Guest bytes that the VM's delta holds something for, sorted; filled in by whoever diffs.
  std::vector<ByteRange> touched_by_vm;

  CacheFolders caches;
};

// Opens all three for reading, with shared locks: a VM that is being served is kBusy, unless a
// snapshot of it is asked for. Refused with kInvalidArgument: an image without a parent, a target
// that is not sealed, a target that is the VM's master already.
Async<RebaseImages> OpenImages(Host& host, DiskState vm, std::filesystem::path target);

// The two masters alone, for what all VMs share.
Async<RebaseImages> OpenMasters(Host& host, std::filesystem::path base,
                                std::filesystem::path target);

Async<void> CloseImages(RebaseImages& images);

// What a new delta for the VM has: its size (or the target's, if that is larger) and its quota.
struct DeltaShape {
  uint64_t virtual_size = 0;
  SpaceQuota quota;
  friend bool operator==(const DeltaShape&, const DeltaShape&) = default;
};
DeltaShape ShapeOfDelta(const RebaseImages& images);

// A new, empty delta of that shape over the target at `path`; the parent is recorded relative to
// the delta's directory.
Async<void> CreateDelta(Host& host, const RebaseImages& images, std::filesystem::path path);

}  // namespace mica::rebase
