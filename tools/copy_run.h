// SPDX-License-Identifier: Apache-2.0
// What the verbs convert and measure share: the images a copy reads, and the copy with its
// progress.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/jobs/copy.h"
#include "tools/cli/image_file.h"
#include "tools/cli/verb.h"

namespace mica {

// As the user names them.
struct CopySource {
  std::string file;
  std::optional<std::string> format;
  std::optional<std::string> parent;  // what the target shows before the copy; zeroes without
  std::optional<std::string> parent_format;
};

// Their locks are held until the copy is done.
struct CopyInputs {
  std::unique_ptr<ImageChain> source;
  OpenParentImage parent;  // empty without one

  [[nodiscard]] BlockDevice* baseline() const { return parent.chain.get(); }
};

Async<CopyInputs> OpenInputs(Host& host, CopySource source);
Async<void> CloseInputs(CopyInputs& inputs);

// Reports as `label`.
Async<CopyTotals> RunCopy(Context& context, std::string label, const CopyInputs& inputs,
                          BlockDevice& target);

}  // namespace mica
