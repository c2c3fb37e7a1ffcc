// SPDX-License-Identifier: Apache-2.0
// The rebase of one VM from its images to its switched delta. Interrupted anywhere, the VM still
// has its old, whole delta, and the next attempt starts over.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/io/host.h"
#include "tools/rebase/job/volume_rebase.h"
#include "tools/rebase/policy.h"
#include "tools/rebase/report.h"

namespace mica::rebase {

struct JobInput {
  std::filesystem::path vm;
  std::filesystem::path target;
  Policy policy;
};

struct JobOptions {
  // Where the new delta goes. Empty: it replaces the VM's, which is kept beside it.
  std::optional<std::filesystem::path> output;
  FileSystemCheck check = FileSystemCheck::kRun;
  std::function<void(const guest::ApplyProgress&)> progress;  // may be empty
};

struct RescuedFile {
  std::string path;            // in the image
  std::filesystem::path file;  // on the host
};

struct JobOutcome {
  Report report;  // of all volumes
  std::vector<VolumeFigures> volumes;
  std::vector<std::string> regenerate;  // paths the guest has to rebuild
  std::vector<RescuedFile> rescued;
  // What the result is called, and what it is.
  std::filesystem::path delta;
  std::optional<std::filesystem::path> kept;  // the old delta, when the VM's was switched
  bool quarantined = false;  // the delta was built, but not switched: the report says why
  double total_seconds = 0;
};

// Diffs and plans only (`fit`, `rebase --dry-run`); writes nothing but index caches.
Result<JobOutcome> PredictRebase(Host& host, const JobInput& input);

// kBusy when the VM is in use or another rebase of it is running. A report whose worst entry is an
// error leaves the VM as it is and the new delta in quarantine beside it; one that blocks makes no
// delta. kCorrupt when the result is not what was planned: then nothing has changed either.
Result<JobOutcome> RunRebase(Host& host, const JobInput& input, const JobOptions& options);

// Switches the VM back to the delta that its last rebase kept.
struct RollbackOutcome {
  std::filesystem::path restored_from;
  std::filesystem::path undone;
};
Result<RollbackOutcome> RunRollback(Host& host, const std::filesystem::path& vm);

}  // namespace mica::rebase
