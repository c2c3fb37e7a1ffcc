// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "engine/image_chain.h"
#include "engine/io/host.h"
#include "formats/parent_cache.h"

namespace mica {

struct OpenChainOptions {
  bool writable = false;
  std::optional<std::string> format;  // of the head; probed when empty. A raw image is never opened
                                      // writable by guess: kInvalidArgument then
  bool buffered = false;              // a writable head through the page cache: for whoever reads
                                      // again and again what it has written
  bool without_locks = false;         // look at an image somebody else is using
  std::optional<std::string> snapshot;  // of the head; never writable
  // Shares parents, and a head that is only read, with the other chains opened with it. Of the same
  // Host; borrowed during the call. Null: nothing is shared.
  ParentCache* parents = nullptr;
};

// "FILE@NAME": the snapshot NAME of FILE, unless there is a file of just that name.
struct ImageName {
  std::filesystem::path file;
  std::optional<std::string> snapshot;
};
Async<ImageName> ResolveImageName(Host& host, std::filesystem::path name);

// Opens the image at `path` and all its parents: exclusive lock on a writable head, shared locks on
// parents, before the first read. A parent whose identity is not the recorded one is kMismatch; the
// message names both files, both identities and what helps. A loop of parents or more than
// kChainDepthMax is kLimit. A parent larger than its child is fine; the child sees its own size.
// `path` may name a snapshot as ResolveImageName has it.
Async<std::unique_ptr<ImageChain>> OpenChain(Host& host, std::filesystem::path path,
                                             OpenChainOptions options);

// Makes the chain index for future children of the sealed image at `path`, and keeps it in its file
// (index_file.h). Nothing to do, and no error, when the image is not sealed or has no parent. An
// index that cannot be made is made later, by whoever needs it.
Async<void> PrepareIndex(Host& host, std::filesystem::path path);

}  // namespace mica
