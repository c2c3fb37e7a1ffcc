// SPDX-License-Identifier: Apache-2.0
#include "tools/verbs.h"

#include <array>

namespace mica {

namespace {

constexpr std::array kVerbs{&AddCreate,  &AddClone,   &AddSeal,  &AddInfo,   &AddMap,     &AddCheck,
                            &AddCompare, &AddConvert, &AddServe, &AddCtl,    &AddLs,      &AddCat,
                            &AddExtract, &AddDiff,    &AddFit,   &AddRebase, &AddRollback};

}  // namespace

std::span<const AddVerb> AllVerbs() noexcept {
  return kVerbs;
}

}  // namespace mica
