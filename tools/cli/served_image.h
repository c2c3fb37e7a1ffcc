// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "engine/filters/throttle_device.h"
#include "formats/open_chain.h"
#include "tools/cli/chain_bitmaps.h"

namespace mica {

// One image that `mica serve` exports. On the loop of its host only, its end included.
struct ServedImage {
  std::string name;  // of the export
  std::string path;
  std::unique_ptr<ImageChain> chain;
  std::unique_ptr<ThrottleDevice> throttle;  // over the chain: what clients use
  std::unique_ptr<ChainBitmaps> bitmaps;     // of the chain
};

struct ExportWord {
  std::string name;
  std::string path;
};

// "NAME=FILE" or "FILE", whose name is FILE's without directory and last extension. A '/' before
// the first '=' makes the whole word a FILE.
ExportWord ParseExport(std::string_view word);

struct ServeAccess {
  bool read_only = false;
  std::optional<std::string> format;  // probed when empty
  ThrottleLimits limits;
  ParentCache* parents = nullptr;  // shared by all that are served
};

// Sealed images are opened read-only, others writable unless that is not wanted.
Async<ServedImage> OpenServedImage(Host& host, ExportWord word, ServeAccess access);

// A failure is printed as well. Nothing of the image is left afterwards, whatever happened.
Async<void> CloseServedImage(ServedImage& image);

}  // namespace mica
