// SPDX-License-Identifier: Apache-2.0
// The versions of one volume that a rebase looks at, and the result that it makes: all that depends
// on the kind of file system. Owned by one rebase, on one thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tools/guest/apply.h"
#include "tools/guest/catch_up.h"
#include "tools/guest/verify.h"
#include "tools/guest/volume.h"
#include "tools/rebase/job/images.h"
#include "tools/rebase/job/volume_diff.h"
#include "tools/rebase/job/volume_patch.h"

namespace mica::rebase {

// A result, opened for reading.
class ResultFiles {
 public:
  ResultFiles() = default;
  ResultFiles(const ResultFiles&) = delete;
  ResultFiles& operator=(const ResultFiles&) = delete;
  virtual ~ResultFiles() = default;

  virtual guest::Volume& volume() = 0;
  // A second diff, new master -> result, against the plan.
  virtual Result<std::vector<guest::Discrepancy>> CompareWith(
      const guest::Plan& plan, const guest::ApplyResult& applied) = 0;
};

class VolumeFiles;

// What was carried out on a result before.
struct EarlierFiles {
  VolumeFiles& files;  // of the same masters and an earlier state of the VM
  const guest::Plan& plan;
  std::vector<ByteRange> changed;  // of the VM's volume since, without what journals add
};

class VolumeFiles {
 public:
  VolumeFiles() = default;
  VolumeFiles(const VolumeFiles&) = delete;
  VolumeFiles& operator=(const VolumeFiles&) = delete;
  virtual ~VolumeFiles() = default;

  virtual guest::Volume& base() = 0;    // of the old master
  virtual guest::Volume& ours() = 0;    // of the VM
  virtual guest::Volume& target() = 0;  // of the new master

  // What is known of the masters, for others of the same volume; null where it is not shared.
  [[nodiscard]] virtual std::shared_ptr<VolumePatch> patch() const { return nullptr; }

  virtual Result<VolumeDiff> DiffOurs() = 0;
  virtual Result<const VolumeDiff*> DiffTheirs() = 0;

  // Of `result`, a chain whose head is a delta over the new master: empty for Apply.
  virtual Result<guest::ApplyResult> Apply(ImageChain& result, const guest::Plan& plan,
                                           const guest::ApplyOptions& options) = 0;
  // The same where `earlier` was carried out on `result`. kMismatch as guest::CatchUpWith.
  virtual Result<guest::CaughtUp> CatchUp(ImageChain& result, const EarlierFiles& earlier,
                                          const guest::Plan& plan,
                                          const guest::ApplyOptions& options) = 0;
  virtual Result<std::unique_ptr<ResultFiles>> OpenResult(ImageChain& result) = 0;
  // What the file system's own checker found, with its name; empty: nothing. `scratch_folder`:
  // empty for the system's.
  virtual Result<std::optional<std::string>> Check(ImageChain& result,
                                                   const std::string& scratch_folder) = 0;
};

}  // namespace mica::rebase
