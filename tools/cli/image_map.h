// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "engine/image_chain.h"

namespace mica {

// One run of guest bytes: where `qemu-img map` would say they are.
struct MapEntry {
  ByteRange guest;
  uint32_t depth = 0;                   // 0: in the image itself; 1: in its parent; …
  bool present = false;                 // some layer of the chain has something about it
  bool zero = false;                    // reads zero
  bool data = false;                    // is stored
  bool compressed = false;              // and is part of a compressed chunk
  std::optional<uint64_t> host_offset;  // in the file of the layer at `depth`
};

// Calls `visit` for the whole disk, in order, with neighbours merged where they are one run on the
// host too.
Async<void> MapImage(ImageChain& chain, std::function<void(const MapEntry&)> visit);

// A run of guest bytes that may have changed.
struct ChangedPart {
  ByteRange guest;
  bool zero = false;  // reads zero now
};

// Calls `visit` for what has changed since `since`, the name of a snapshot of the head or else an
// epoch, in order. kNotFound when it is neither; kUnsupported when the head's format does not know.
Async<void> MapChanges(ImageChain& chain, std::string since,
                       std::function<void(const ChangedPart&)> visit);

}  // namespace mica
