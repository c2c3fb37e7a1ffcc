// SPDX-License-Identifier: Apache-2.0
// All verbs, one file each: cmd_<verb>.cc defines Add<Verb>. A new verb is a line here and a line
// in verbs.cc.
#pragma once

#include <span>

#include "tools/cli/verb.h"

namespace mica {

using AddVerb = Verb (*)(CLI::App& program);

// In the order of `mica --help`.
std::span<const AddVerb> AllVerbs() noexcept;

Verb AddCreate(CLI::App& program);
Verb AddClone(CLI::App& program);
Verb AddSeal(CLI::App& program);
Verb AddInfo(CLI::App& program);
Verb AddMap(CLI::App& program);
Verb AddSnapshot(CLI::App& program);
Verb AddResize(CLI::App& program);
Verb AddCheck(CLI::App& program);
Verb AddQuota(CLI::App& program);
Verb AddCompact(CLI::App& program);
Verb AddCompare(CLI::App& program);
Verb AddConvert(CLI::App& program);
Verb AddMeasure(CLI::App& program);
Verb AddCommit(CLI::App& program);
Verb AddFlatten(CLI::App& program);
Verb AddReparent(CLI::App& program);
Verb AddServe(CLI::App& program);
Verb AddCtl(CLI::App& program);
Verb AddAttachConfig(CLI::App& program);
Verb AddLs(CLI::App& program);
Verb AddCat(CLI::App& program);
Verb AddExtract(CLI::App& program);
Verb AddDiff(CLI::App& program);
Verb AddFit(CLI::App& program);
Verb AddRebase(CLI::App& program);
Verb AddRollback(CLI::App& program);
Verb AddConfirm(CLI::App& program);

}  // namespace mica
