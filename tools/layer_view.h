// SPDX-License-Identifier: Apache-2.0
// Looking at one image at a time: what `mica info` tells, also of an image that somebody is using
// or whose parents cannot be opened.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/host.h"
#include "engine/layer.h"
#include "engine/snapshot_control.h"

namespace mica {

struct LayerView {
  LayerInfo info;
  uint64_t file_bytes = 0;                           // of the host file
  uint64_t allocated_bytes = 0;                      // on the host
  bool in_use = false;                               // somebody has it open for writing
  std::optional<std::string> snapshot;               // FILE@NAME: this state of it
  std::vector<SnapshotInfo> snapshots;               // that it keeps, the oldest first
  std::optional<uint32_t> epoch;                     // of its last checkpoint, when it counts them
  std::optional<std::filesystem::path> parent_path;  // where the recorded parent is looked for
};

// One image, without its parents.
Async<LayerView> ViewLayer(Host& host, std::filesystem::path path,
                           std::optional<std::string> format);

struct ChainView {
  std::vector<LayerView> layers;  // the head first; as far as they could be opened
  // What is wrong with the chain, if anything: a parent is missing, not the recorded one, …
  std::optional<Error> fault;
};

// The image and all its parents; fails only when the head cannot be opened.
Async<ChainView> ViewChain(Host& host, std::filesystem::path path,
                           std::optional<std::string> format);

}  // namespace mica
