// SPDX-License-Identifier: Apache-2.0
// The rebase of one VM as far as its guest is looked at: diff, plan, build and prove. What is done
// with the result (rebase_switch.h) is for another process, which does not read what guests wrote.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/host.h"
#include "tools/rebase/fit/fit_rules.h"
#include "tools/rebase/job/delta_facts.h"
#include "tools/rebase/job/volume_rebase.h"
#include "tools/rebase/policy.h"
#include "tools/rebase/report.h"

namespace mica::rebase {

struct JobInput {
  std::filesystem::path vm;
  std::optional<std::string> snapshot;  // of the VM, which may be running; empty: as it is
  std::filesystem::path target;
  Policy policy;
  std::string policy_digest;       // for the report
  std::vector<FitRule> fit_rules;  // for PredictRebase
  KernelVolumes kernel;
};

struct BuildOptions {
  // A delta over the target; nobody else uses it. After an error it is to be thrown away.
  std::filesystem::path delta;
  // The snapshot of the VM that the delta was built from, so that it only has to catch up; empty:
  // the delta is. kMismatch when catching up is not possible: then with an empty delta.
  std::optional<std::string> staged;
  // Returns when the VM is off and `delta` is there; called when what can be done before is done.
  // Empty: both are so.
  std::function<Result<void>()> wait_for_vm;
  // A folder of ours: "rescue" in it gets losing versions, e2fsck works there.
  std::filesystem::path work;
  // For the report: what "rescue" will be called, and the number of the first file in it.
  std::filesystem::path rescue_name;
  size_t rescue_number = 1;
  FileSystemCheck check = FileSystemCheck::kRun;
  std::function<void(const guest::ApplyProgress&)> progress;  // may be empty
};

// What was written to a file on the host.
struct CopiedContent {
  uint64_t bytes = 0;
  std::string digest;  // 32 hexadecimal digits
};

struct RescuedFile {
  std::string path;            // in the image
  std::filesystem::path file;  // on the host
  Side side = Side::kTheirs;   // whose version it is
  CopiedContent content;
};

// What is needed to recognise the images again, and what they take.
struct Proof {
  std::optional<LayerIdentity> base;  // the old master
  std::optional<LayerIdentity> target;
  std::string policy_digest;        // 32 hexadecimal digits
  DeltaFacts before;                // the VM's delta over the old master
  std::optional<DeltaFacts> after;  // the result
  uint64_t dropped_bytes = 0;       // of the guest: equal to the new master's, so not kept
};

struct JobOutcome {
  Report report;  // of all volumes
  std::vector<VolumeFigures> volumes;
  std::vector<std::string> regenerate;  // paths the guest has to rebuild
  std::vector<FitFinding> findings;     // they point into JobInput::fit_rules
  std::vector<RescuedFile> rescued;     // under their final names
  Proof proof;
  double total_seconds = 0;

  // The report's verdict on what becomes of the result.
  [[nodiscard]] bool blocked() const { return report.Highest() == Severity::kBlock; }
  [[nodiscard]] bool quarantined() const { return report.Highest() == Severity::kError; }
};

// Diffs and plans only (`fit`, `rebase --dry-run`); writes nothing.
Result<JobOutcome> PredictRebase(Host& host, const JobInput& input);

// Diffs, plans, writes the result and proves it. A report that blocks leaves the delta empty.
// kCorrupt when the result is not what was planned.
Result<JobOutcome> BuildRebase(Host& host, const JobInput& input, const BuildOptions& options);

struct RecheckOutcome {
  JobOutcome planned;  // what a rebase would report; its proof has the result as it is now
  std::vector<std::string> differences;  // of the result from the plan
};
// Plans again from the kept delta (input.vm) and compares `result`, a delta over the same target,
// with the plan; then e2fsck in `scratch`. Writes nothing else.
Result<RecheckOutcome> RecheckRebase(Host& host, const JobInput& input,
                                     const std::filesystem::path& result,
                                     const std::filesystem::path& scratch);

// Works out what all VMs on `base` share when they go to `target`, and keeps it in the folders.
Result<void> PrepareMasters(Host& host, const std::filesystem::path& base,
                            const std::filesystem::path& target, const CacheFolders& folders);

}  // namespace mica::rebase
