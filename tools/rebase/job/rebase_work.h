// SPDX-License-Identifier: Apache-2.0
// The room in which a VM's new delta is made by a confined process that can write only here:
//
//   vm.mica.rebasing     the new delta while it is built
//   vm.mica.rebasing.d/  locked as long as this lives; the builder's report and rescued files
#pragma once

#include <filesystem>
#include <memory>

#include "engine/base/unique_fd.h"
#include "engine/io/host.h"
#include "tools/rebase/job/images.h"

namespace mica::rebase {

class RebaseWork {
 public:
  // Locks the folder, and clears what an interrupted rebase left. `destination` is the name that
  // the result will get. kBusy while a rebase, rollback or confirmation of the VM is running.
  static Result<std::unique_ptr<RebaseWork>> Open(Host& host,
                                                  const std::filesystem::path& destination);
  RebaseWork(const RebaseWork&) = delete;
  RebaseWork& operator=(const RebaseWork&) = delete;
  // Removes what has not been given a name.
  ~RebaseWork();

  [[nodiscard]] const std::filesystem::path& delta() const noexcept { return delta_; }
  [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }

  // A new, empty delta over the target, in place of the one that may be there.
  Result<void> MakeDelta(const RebaseImages& images);
  // One that is there under another name in the same directory, for good.
  Result<void> TakeDelta(const std::filesystem::path& name);
  // The delta gets the owner and mode of the VM's file, durably. Only when it is finished, as the
  // builder has no right to write files of others.
  Result<void> MakeLike(const std::filesystem::path& vm);
  // The delta gets this name in the same directory, durably.
  Result<void> NameDelta(const std::filesystem::path& name);

 private:
  RebaseWork(Host& host, const std::filesystem::path& destination);
  Result<void> ClearLeftovers();

  Host& host_;
  std::filesystem::path delta_;
  std::filesystem::path folder_;
  UniqueFd lock_;
};

}  // namespace mica::rebase
