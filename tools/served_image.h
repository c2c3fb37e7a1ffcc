// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/open_chain.h"

namespace mica {

// One image that `mica serve` exports.
struct ServedImage {
  std::string name;  // of the export
  std::string path;
  std::unique_ptr<ImageChain> chain;
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
};

// Sealed images are opened read-only, others writable unless that is not wanted.
Async<ServedImage> OpenServedImage(Host& host, ExportWord word, ServeAccess access);

// Closes all, whatever happens; every failure is printed, the first is returned.
Async<void> CloseServedImages(EventLoop& loop, std::vector<ServedImage>& images);

}  // namespace mica
