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
#include "engine/space_control.h"

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
  std::optional<SpaceQuota> quota;                   // of formats that have quotas
  std::optional<SpaceUsage> usage;                   // when it was asked for and could be found out
  std::optional<uint64_t> shared_bytes;  // of the disk, that parents hold; as with usage

  // Host space that holds nothing.
  [[nodiscard]] uint64_t reclaimable_bytes() const noexcept {
    const uint64_t used = usage ? usage->total_bytes() : allocated_bytes;
    return allocated_bytes > used ? allocated_bytes - used : 0;
  }
};

// With kSpace also where the host space goes, which reads the image's whole map.
enum class LayerDetail : uint8_t { kBasic, kSpace };

// One image, without its parents.
Async<LayerView> ViewLayer(Host& host, std::filesystem::path path,
                           std::optional<std::string> format, LayerDetail detail);

struct ChainView {
  std::vector<LayerView> layers;  // the head first; as far as they could be opened
  // What is wrong with the chain, if anything: a parent is missing, not the recorded one, …
  std::optional<Error> fault;
};

// The image and all its parents; fails only when the head cannot be opened.
Async<ChainView> ViewChain(Host& host, std::filesystem::path path,
                           std::optional<std::string> format);

}  // namespace mica
