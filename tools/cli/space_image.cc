// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/space_image.h"

#include <fmt/core.h>

#include "tools/cli/image_file.h"

namespace mica {

Async<SpaceImage> OpenSpaceImage(Host& host, std::filesystem::path path,
                                 std::optional<std::string> format_name, SpaceAccess access) {
  CO_ASSIGN(const ImageFormat* const format, co_await FormatOf(host, path, format_name));
  LayerOpenOptions options;
  options.writable = access == SpaceAccess::kChange;
  options.direct = options.writable;
  options.lock = options.writable ? FileLock::kExclusive : FileLock::kShared;
  Result<std::unique_ptr<Layer>> layer = co_await format->Open(host, path, options);
  if (!layer && layer.error().code == Errc::kBusy && !options.writable) {
    options.lock = FileLock::kNone;
    layer = co_await format->Open(host, path, options);
  }
  if (!layer) co_return std::move(layer).error();
  SpaceImage image;
  image.layer = *std::move(layer);
  image.space = image.layer->controls().space;
  if (image.space != nullptr) co_return image;
  co_return Error{Errc::kUnsupported,
                  fmt::format("{}: expected an image that manages its own space (a mica delta or "
                              "master), found one of format {}",
                              path.native(), format->name())};
}

}  // namespace mica
