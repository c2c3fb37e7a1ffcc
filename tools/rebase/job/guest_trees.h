// SPDX-License-Identifier: Apache-2.0
// The whole guest of a disk with several volumes, in three versions: also the volumes that the VM
// did not change, because packages have files and records on several of them.
#pragma once

#include <optional>

#include "engine/async/event_loop.h"
#include "engine/base/result.h"
#include "tools/rebase/guest_facts.h"
#include "tools/rebase/job/images.h"
#include "tools/rebase/job/mount_points.h"
#include "tools/rebase/policy.h"

namespace mica::rebase {

// Empty where the guest's root directory is not known or nothing else is mounted. `policy` speaks
// of the guest's paths. Volumes that cannot be read are passed over: whoever rebases them reports
// it.
Result<std::optional<GuestFacts>> ReadGuestFacts(EventLoop& loop, RebaseImages& images,
                                                 const MountTable& table, const Policy& policy);

}  // namespace mica::rebase
