// SPDX-License-Identifier: Apache-2.0
// What stands around the building of a rebased delta: making room for it, and giving the result
// its place. Nothing here reads what a guest wrote; the building is done by a confined process
// (job.h) that can write only to the files made here (rebase_work.h).
//
// Interrupted anywhere, the VM has its old, whole delta or the new one, and then the report of it
// has its name already.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "engine/io/host.h"
#include "tools/rebase/job/images.h"
#include "tools/rebase/job/rebase_work.h"
#include "tools/rebase/job/staged.h"

namespace mica::rebase {

struct SwitchRequest {
  std::filesystem::path vm;
  std::filesystem::path target;
  // Where the new delta goes. Empty: it replaces the VM's, which is kept beside it.
  std::optional<std::filesystem::path> output;
  std::filesystem::path report;
};

enum class BuildVerdict : uint8_t { kGood, kQuarantine, kBlocked };

class RebaseSwitch {
 public:
  // Makes room, clears what an interrupted rebase left, and finds what was staged. Until its end
  // there is no other rebase of the VM. kBusy when there is one; kExists when there is something at
  // `output`.
  static Result<std::unique_ptr<RebaseSwitch>> Open(Host& host, const SwitchRequest& request);
  // Opens the images, with locks that are held as long as this lives, and takes the staged delta if
  // it fits, or else makes a new, empty one. kBusy when the VM is in use. Once, before Publish.
  Result<void> TakeVm();
  RebaseSwitch(const RebaseSwitch&) = delete;
  RebaseSwitch& operator=(const RebaseSwitch&) = delete;

  // For the builder. Beneath work(): "report.jsonl" and "rescue/".
  [[nodiscard]] const std::filesystem::path& delta() const noexcept { return work_->delta(); }
  [[nodiscard]] const std::filesystem::path& work() const noexcept { return work_->folder(); }
  // What was staged: until TakeVm where it is and what is known of it; then, that delta() was built
  // from its snapshot. Empty: delta() is, or will be.
  [[nodiscard]] const std::optional<StagedDelta>& staged() const noexcept { return staged_; }
  // Makes an empty delta in place of the staged one.
  Result<void> StartOver();
  // Under which name the result goes with each verdict, and the old delta with kGood.
  [[nodiscard]] std::filesystem::path ResultName(BuildVerdict verdict) const;
  [[nodiscard]] const std::optional<std::filesystem::path>& kept_name() const { return kept_; }
  [[nodiscard]] std::filesystem::path RescueFolder() const;
  [[nodiscard]] size_t rescue_number() const noexcept { return rescue_number_; }
  [[nodiscard]] RebaseImages& images() noexcept { return images_; }

  // Gives rescued files, report and delta their places, in this order, durably. The delta gets the
  // owner and mode of the VM's.
  Result<void> Publish(BuildVerdict verdict);

 private:
  RebaseSwitch(Host& host, SwitchRequest request);

  [[nodiscard]] std::filesystem::path Destination() const;
  Result<void> ChooseNames();
  Result<void> PublishRescues();
  Result<void> PublishReport();

  Host& host_;
  SwitchRequest request_;
  std::unique_ptr<RebaseWork> work_;
  std::optional<StagedDelta> staged_;
  std::optional<std::filesystem::path> kept_;
  size_t rescue_number_ = 1;
  RebaseImages images_;
};

struct RollbackOutcome {
  std::filesystem::path restored_from;
  std::filesystem::path undone;
};
// Switches the VM back to the delta that its last rebase kept.
Result<RollbackOutcome> RunRollback(Host& host, const std::filesystem::path& vm);

}  // namespace mica::rebase
