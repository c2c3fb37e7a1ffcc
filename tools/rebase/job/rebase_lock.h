// SPDX-License-Identifier: Apache-2.0
// One rebase, rollback or confirmation of a VM at a time: whoever does one holds a lock on the
// folder VM.rebasing.d, which is made for it.
#pragma once

#include <filesystem>

#include "engine/async/event_loop.h"
#include "engine/base/unique_fd.h"

namespace mica::rebase {

// `vm` is the name that a rebase's result would get.
std::filesystem::path RebaseFolder(std::filesystem::path vm);

// The folder, made and locked until the descriptor is closed. Waits a little when another process
// has it, then kBusy. Whoever has no more use for it removes it.
Result<UniqueFd> LockRebase(EventLoop& loop, const std::filesystem::path& folder);

}  // namespace mica::rebase
