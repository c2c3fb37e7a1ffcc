// SPDX-License-Identifier: Apache-2.0
// Which volumes the host's kernel may be asked to mount, and who asks it.
#pragma once

#include <algorithm>
#include <vector>

#include "tools/guest/disk.h"
#include "tools/guest/mounted/mounter.h"

namespace mica::rebase {

struct KernelVolumes {
  std::vector<guest::VolumeKind> kinds;  // none: such volumes go by the block rule
  guest::Mounter* mounter = nullptr;     // borrowed; null without kinds

  [[nodiscard]] bool Has(guest::VolumeKind kind) const {
    return std::ranges::find(kinds, kind) != kinds.end();
  }
};

}  // namespace mica::rebase
