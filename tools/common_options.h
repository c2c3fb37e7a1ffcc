// SPDX-License-Identifier: Apache-2.0
// The options that every verb takes, before or after its name.
#pragma once

#include "tools/output.h"
#include "tools/progress.h"
#include "tools/runtime.h"

namespace CLI {
class App;
}  // namespace CLI

namespace mica {

struct CommonOptions {
  OutputSettings output;
  ProgressMode progress = ProgressMode::kOnSignal;
  IoEngine io = IoEngine::kAuto;
};

// `options` must outlive the parsing.
void AddCommonOptions(CLI::App& app, CommonOptions& options);

}  // namespace mica
