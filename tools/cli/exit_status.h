// SPDX-License-Identifier: Apache-2.0
// What the program tells its caller's shell; the one table of it.
#pragma once

#include "engine/base/error.h"

namespace mica {

enum class ExitStatus : int {
  kDone = 0,
  kError = 1,
  kUsage = 2,
  kConflicts = 3,  // the result is valid, the report lists what is left for a person
  kFitWorse = 4,   // worse than --fail-on
  kBusy = 5,       // in use or fenced
  kMismatch = 6,   // a parent is not the one that was recorded
  kNoSpace = 7,
};

// The status of a verb that ended with `error`. Verbs that keep qemu-img's meaning of the numbers
// (check, compare) have their own table beside their code.
ExitStatus ExitStatusOf(const Error& error) noexcept;

}  // namespace mica
