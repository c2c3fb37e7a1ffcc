// SPDX-License-Identifier: Apache-2.0
// What the verbs about an image's space share: the image alone, without its parents, open for them.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "engine/space_control.h"
#include "formats/format.h"

namespace mica {

struct SpaceImage {
  std::unique_ptr<Layer> layer;
  SpaceControl* space = nullptr;  // the layer's
};

enum class SpaceAccess : uint8_t { kLook, kChange };

// To look at it also while somebody uses it. kUnsupported when its format has nothing to control.
Async<SpaceImage> OpenSpaceImage(Host& host, std::filesystem::path path,
                                 std::optional<std::string> format, SpaceAccess access);

}  // namespace mica
