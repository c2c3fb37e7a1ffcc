// SPDX-License-Identifier: Apache-2.0
// Confirming the rebases of many VMs.
#pragma once

#include <string>
#include <vector>

#include "tools/cli/verb.h"
#include "tools/rebase/job/confirm.h"

namespace mica {

struct ConfirmTotals {
  size_t dropped = 0;  // deltas
  uint64_t bytes = 0;  // of the host
  size_t failed = 0;   // VMs of which something could not be removed
  size_t busy = 0;     // of these, VMs that were busy
};

enum class ConfirmTalk : uint8_t {
  kAll,         // what becomes of each kept delta, on stdout
  kComplaints,  // only what goes wrong, on stderr
};

// One VM after the other. What goes wrong with one ends nothing.
ConfirmTotals ConfirmAll(Context& context, const std::vector<std::string>& vms,
                         const rebase::ConfirmOptions& options, ConfirmTalk talk);

}  // namespace mica
