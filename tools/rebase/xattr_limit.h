// SPDX-License-Identifier: Apache-2.0
// Extended attributes for which an object of the new master's file system has no room: those of
// both sides together, or those of the VM alone where its own file system had more.
#pragma once

#include "tools/rebase/decide.h"

namespace mica::rebase {

// After SettleTree. Where both sides' do not fit, one side's are taken: the VM's, or the new
// master's by a rule. Where those do not fit either, as many as do, access rights first. The report
// names what is left out.
void LimitXattrs(MergeScene& scene);

}  // namespace mica::rebase
