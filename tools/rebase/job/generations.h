// SPDX-License-Identifier: Apache-2.0
// The generations of a VM's delta: switching to a rebased one and back, atomically, losing neither.
//
//   vm.mica            the delta in use
//   vm.mica.before-N   what the N-th rebase replaced; kept until it is confirmed (confirm.h)
//   vm.mica.undone-N   what the rollback of the N-th rebase replaced
//   vm.mica.staged-N   what was prepared of a rebase that is still to come (staged.h)
//
// At every moment, also after a power cut, vm.mica names one whole delta: the old or the new one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "engine/io/host.h"

namespace mica::rebase {

inline constexpr uint32_t kGenerationsMax = 1000;

// The name under which the next rebase keeps the delta `vm`. kLimit when all are taken.
Async<std::filesystem::path> NextBackup(Host& host, std::filesystem::path vm);

// Puts `prepared`, a complete and synced delta in the same directory, in the place of `vm`, which
// is kept under the returned name.
Async<std::filesystem::path> SwitchTo(Host& host, std::filesystem::path vm,
                                      std::filesystem::path prepared);

struct RolledBack {
  std::filesystem::path restored_from;  // the name that is free again
  std::filesystem::path undone;         // where the rebased delta is kept
};

// Undoes the last SwitchTo. kNotFound when there was none. The caller has made sure that nobody
// uses `vm` and that the kept delta opens.
Async<RolledBack> RollBack(Host& host, std::filesystem::path vm);

// Everything that is kept of `vm`: what rollbacks replaced, then what rebases replaced, in the
// order in which it can be done without; the one that RollBack restores is the last.
Async<std::vector<std::filesystem::path>> KeptDeltas(Host& host, std::filesystem::path vm);

// The staged deltas: the highest number there is, 0 for none, and a new one.
Async<uint32_t> LastStagedNumber(Host& host, std::filesystem::path vm);
Async<uint32_t> NextStagedNumber(Host& host, std::filesystem::path vm);
std::filesystem::path StagedName(const std::filesystem::path& vm, uint32_t number);

// Removes a kept or staged delta. It has gone for good when this returns.
Async<void> DropKept(Host& host, std::filesystem::path kept);

// The delta that RollBack would restore; kNotFound, saying so, when there is none.
Async<std::filesystem::path> LastBackup(Host& host, std::filesystem::path vm);

}  // namespace mica::rebase
