// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "formats/format.h"
#include "tools/cli/verb.h"

namespace mica {

struct PackRequest {
  const ImageFormat* format = nullptr;
  std::filesystem::path file;  // a sealed image
  LayerIdentity identity;      // of it
  PackOptions options;         // threads and on_progress are filled in
};

// Writes the image anew, compressed, under a temporary name beside it, verifies it and lets it take
// the name, mode and owner of the old file. Whoever has that open goes on with it. Until the last
// step the file is as it was. A symbolic link stays one; other hard links keep the old file.
Async<PackTotals> PackInPlace(Context& context, PackRequest request);

}  // namespace mica
