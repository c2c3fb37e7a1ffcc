// SPDX-License-Identifier: Apache-2.0
// What the verbs that make or look at image files share.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "formats/format.h"
#include "formats/open_chain.h"
#include "tools/cli/temporary_file.h"

namespace mica {

// The format called `name`, or the one of the file's first bytes when that is empty.
Async<const ImageFormat*> FormatOf(Host& host, std::filesystem::path path,
                                   std::optional<std::string> name);

enum class ParentSeal : uint8_t { kRequired, kOptional };

// A parent for new images: opened and verified. Its locks are held while this lives.
struct OpenParentImage {
  std::unique_ptr<ImageChain> chain;
  std::filesystem::path path;  // as the caller named it

  [[nodiscard]] const LayerInfo& info() const { return chain->layer(0).info(); }
};

// An image that is not sealed is kReadOnly with the hint to seal it: a parent that changes ruins
// every delta over it. With kOptional it is taken all the same.
Async<OpenParentImage> OpenParent(Host& host, std::filesystem::path path,
                                  std::optional<std::string> format,
                                  ParentSeal seal = ParentSeal::kRequired);

// `parent` as the image `child` records it, by path (parent_path.h), format and identity.
Result<ParentReference> ReferenceTo(const OpenParentImage& parent,
                                    const std::filesystem::path& child);

struct NewImage {
  std::filesystem::path path;
  const ImageFormat* format = nullptr;
  CreateOptions options;
  OnExisting on_existing = OnExisting::kRefuse;
};

// Makes an empty image; it appears when it is complete.
Async<void> CreateImage(Host& host, NewImage image);

// As CheckDestination, and kReadOnly for a sealed image even if it were to be replaced: deltas may
// depend on it.
Async<void> CheckImageDestination(Host& host, std::filesystem::path path, OnExisting on_existing);

}  // namespace mica
