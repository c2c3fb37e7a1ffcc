// SPDX-License-Identifier: Apache-2.0
// The images of one rebase: the VM's chain, its master alone, and the new master.
#pragma once

#include <filesystem>
#include <memory>

#include "engine/image_chain.h"
#include "engine/io/host.h"
#include "formats/parent_cache.h"

namespace mica::rebase {

// Where what is worked out about the masters is kept for the next VM; empty: nowhere.
struct CacheFolders {
  std::filesystem::path base;
  std::filesystem::path target;
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

// Opens all three for reading, with shared locks: a VM that is being served is kBusy. Refused with
// kInvalidArgument: an image without a parent, a target that is not sealed, a target that is the
// VM's master already.
Async<RebaseImages> OpenImages(Host& host, std::filesystem::path vm, std::filesystem::path target);

// The two masters alone, for what all VMs share.
Async<RebaseImages> OpenMasters(Host& host, std::filesystem::path base,
                                std::filesystem::path target);

Async<void> CloseImages(RebaseImages& images);

// A new, empty delta over the target at `path`, made for the VM's size (or the target's, if that is
// larger); the parent is recorded relative to the delta's directory. It has the
// VM's quota.
Async<void> CreateDelta(Host& host, const RebaseImages& images, std::filesystem::path path);

}  // namespace mica::rebase
