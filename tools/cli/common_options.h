// SPDX-License-Identifier: Apache-2.0
// The options that every verb takes, before or after its name.
#pragma once

#include "engine/io/runtime.h"
#include "tools/cli/output.h"
#include "tools/cli/progress.h"

namespace CLI {
class App;
}  // namespace CLI

namespace mica {

struct CommonOptions {
  OutputSettings output;
  ProgressMode progress = ProgressMode::kOnSignal;
  IoEngineKind io = IoEngineKind::kAuto;
};

// `options` must outlive the parsing.
void AddCommonOptions(CLI::App& app, CommonOptions& options);

}  // namespace mica
