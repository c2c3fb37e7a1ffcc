// SPDX-License-Identifier: Apache-2.0
#include "tools/verbs.h"

#include <array>

#include "tools/rebase_run/mounter_process.h"
#include "tools/rebase_run/rebase_worker.h"

namespace mica {

namespace {

// One a line: verbs come and go alone.
// clang-format off
constexpr std::array kVerbs{
    &AddCreate,
    &AddClone,
    &AddSeal,
    &AddInfo,
    &AddMap,
    &AddSnapshot,
    &AddResize,
    &AddCheck,
    &AddQuota,
    &AddCompact,
    &AddCompare,
    &AddConvert,
    &AddMeasure,
    &AddCommit,
    &AddFlatten,
    &AddReparent,
    &AddServe,
    &AddCtl,
    &AddAttachConfig,
    &AddLs,
    &AddCat,
    &AddExtract,
    &AddDiff,
    &AddFit,
    &AddRebase,
    &AddRollback,
    &AddConfirm,
    &AddWorker,
    &AddMounter,
};
// clang-format on

}  // namespace

std::span<const AddVerb> AllVerbs() noexcept {
  return kVerbs;
}

}  // namespace mica
