// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>

#include "engine/image_chain.h"
#include "engine/io/host.h"
#include "engine/jobs/commit.h"

namespace mica {

// The images of a commit, each opened once.
struct OpenedCommit {
  std::unique_ptr<ImageChain> delta;         // the layer alone
  std::unique_ptr<ImageChain> parent;        // with what it stands on
  std::unique_ptr<ImageChain> below_parent;  // null when the parent stands on nothing
  std::filesystem::path parent_path;

  [[nodiscard]] CommitImages images() const { return {*delta, *parent, below_parent.get()}; }
};

// Opens the image at `delta` and its parent, exclusively for kDo, with shared locks for kMeasure.
// kReadOnly for a sealed parent: others may stand on it. kUnsupported for an image without a parent
// and for a parent that is too small. The messages say what helps.
Async<OpenedCommit> OpenForCommit(Host& host, std::filesystem::path delta, JobMode mode);

// Closes all of them, the parent first; the first error is returned.
Async<void> CloseCommit(OpenedCommit& opened);

}  // namespace mica
