// SPDX-License-Identifier: Apache-2.0
// What the verbs commit, flatten and reparent share: running a job with progress, and its result in
// words.
#pragma once

#include <optional>
#include <string>

#include "engine/jobs/chain_job.h"
#include "tools/cli/verb.h"

namespace mica {

// How a job of `label` on a disk of `size` bytes reports. Lives as long as the job.
class ChainJobRun {
 public:
  ChainJobRun(Context& context, const std::string& label, uint64_t size);

  [[nodiscard]] ChainJobOptions Options(JobMode mode);
  void Finish(const ChainJobTotals& totals);

 private:
  Progress progress_;
};

struct ChainJobResult {
  std::string file;
  std::optional<std::string> parent;  // what it stands on afterwards, or was folded into
  std::string done;                   // "flattened"
  bool dry_run = false;
  ChainJobTotals totals;
};

void Tell(const ChainJobResult& result, Output& output);

}  // namespace mica
