// SPDX-License-Identifier: Apache-2.0
// Volumes as plain bytes: whether two are equal, and taking one over.
#pragma once

#include <vector>

#include "tools/guest/sync_device.h"
#include "tools/rebase/job/images.h"
#include "tools/rebase/job/layout.h"

namespace mica::rebase {

// Whether the two differ anywhere in `ranges`. What only one of them has differs.
Result<bool> BytesDiffer(guest::SyncDevice& a, guest::SyncDevice& b,
                         const std::vector<ByteRange>& ranges);

// The VM's version of a volume that is taken over as it is. Borrows loop and images.
class CarriedVolume {
 public:
  CarriedVolume(EventLoop& loop, RebaseImages& images, VolumePair pair)
      : loop_(loop), images_(images), pair_(std::move(pair)) {}

  [[nodiscard]] const guest::VolumeId& id() const noexcept { return pair_.id; }

  // Writes it onto `result`, a chain whose head is an empty delta over the new master.
  Result<void> Apply(ImageChain& result);
  // One line when the volume in `result` is not the VM's.
  Result<std::vector<std::string>> Verify(ImageChain& result);

 private:
  EventLoop& loop_;
  RebaseImages& images_;
  VolumePair pair_;
};

}  // namespace mica::rebase
