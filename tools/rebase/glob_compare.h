// SPDX-License-Identifier: Apache-2.0
// Relations between path patterns, over every path that a file system can have: absolute, without
// "//", "." and "..", and "/" at the end of the root alone. Exact, by walking the automata of both
// side by side. Patterns for which that takes too long get the careful answer: MatchesNothing and
// Covers say no, Overlap says yes.
#pragma once

#include "tools/rebase/glob.h"

namespace mica::rebase {

// No object can have a path that matches.
bool MatchesNothing(const Glob& glob);

// `wide` matches every object that `narrow` matches.
bool Covers(const Glob& wide, const Glob& narrow);

// Some object could match both.
bool Overlap(const Glob& a, const Glob& b);

}  // namespace mica::rebase
