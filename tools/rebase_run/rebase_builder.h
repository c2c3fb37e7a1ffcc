// SPDX-License-Identifier: Apache-2.0
// Runs worker processes for the commands that rebase a VM: what it asked for in, what it found out.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/rebase/job/rebase_switch.h"
#include "tools/rebase_run/rebase_worker.h"

namespace mica {

struct RebaseRequest {
  std::string vm;
  std::string onto;
  std::string output;  // empty: the VM is switched
  std::string report;
  std::vector<std::string> policies;
  std::vector<std::string> rules;  // for Predict, on top of the built-in fit rules
  std::string control;             // of a server that may have the VM; empty: none
  uint64_t wait_seconds = 0;       // for the VM's clients to leave that server
  bool skip_check = false;
  bool summary = false;  // say no more than the summary
  WorkerLimits limits;
};

// `mica rebase` for one VM as another process of ours: what it is told, of its own VM's report the
// summary comes on its stdout. It ends with this process.
std::vector<std::string> RebaseArguments(const RebaseRequest& request);

// What every worker for this request is told.
WorkerRequest WorkerRequestFor(WorkerRole role, const Context& context,
                               const RebaseRequest& request);

struct WorkerEnd {
  ExitStatus status = ExitStatus::kDone;
  std::string output;
};
Result<WorkerEnd> RunWorkerToEnd(const Context& context, const WorkerRequest& request);

struct BuildEnd {
  ExitStatus status = ExitStatus::kDone;
  std::optional<rebase::BuildVerdict> verdict;  // empty: it has said what went wrong
};

// A worker that builds a delta. Borrows the context.
class DeltaBuilder {
 public:
  static Result<std::unique_ptr<DeltaBuilder>> Start(const Context& context, WorkerRequest worker);
  // To its end; the VM is off. When the delta was staged and does not fit, again from the start,
  // for which `start_over` makes an empty one.
  Result<BuildEnd> Run(const std::function<Result<void>()>& start_over);

 private:
  DeltaBuilder(const Context& context, WorkerRequest worker, SelfProcess process)
      : context_(context), worker_(std::move(worker)), process_(std::move(process)) {}

  const Context& context_;
  WorkerRequest worker_;
  SelfProcess process_;
};

// The builder's report, from the file that has it by now.
void PrintReport(Context& context, const std::filesystem::path& file, const RebaseRequest& request);

}  // namespace mica
