// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/served_image.h"

#include <fmt/core.h>

#include <filesystem>

#include "tools/cli/layer_view.h"
#include "tools/cli/output.h"

namespace mica {

Async<void> CloseServedImage(ServedImage& image) {
  Result<void> closed = co_await image.chain->Close();
  image.bitmaps.reset();
  image.throttle.reset();
  image.chain.reset();
  if (closed) co_return closed;
  Error error = std::move(closed).error().WithContext(image.path);
  PrintError(
      fmt::format("{}; the image was not closed cleanly and is checked when it is next "
                  "opened",
                  error.message));
  co_return error;
}

ExportWord ParseExport(std::string_view word) {
  const size_t equals = word.find('=');
  const size_t slash = word.find('/');
  if (equals == std::string_view::npos || slash < equals) {
    return {std::filesystem::path(word).stem().native(), std::string(word)};
  }
  return {std::string(word.substr(0, equals)), std::string(word.substr(equals + 1))};
}

Async<ServedImage> OpenServedImage(Host& host, ExportWord word, ServeAccess access) {
  CO_ASSIGN(const LayerView view,
            co_await ViewLayer(host, word.path, access.format, LayerDetail::kBasic));
  OpenChainOptions options;
  options.format = access.format;
  options.writable = !access.read_only && !view.info.sealed && !view.snapshot;
  options.parents = access.parents;
  ServedImage image;
  image.name = word.name;
  image.path = word.path;
  CO_ASSIGN(image.chain, co_await OpenChain(host, word.path, options));
  image.throttle = std::make_unique<ThrottleDevice>(host.loop(), *image.chain, access.limits);
  image.bitmaps = std::make_unique<ChainBitmaps>(*image.chain);
  CO_TRY(co_await image.bitmaps->Refresh());
  co_return image;
}

}  // namespace mica
