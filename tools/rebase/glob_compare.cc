// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/glob_compare.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <vector>

namespace mica::rebase {
namespace {

constexpr size_t kStatesMax = 5000;

// How far a path has been read.
enum class PathState : uint8_t { kStart, kRoot, kAfterSlash, kDot, kDotDot, kName, kNoPath };

PathState After(PathState state, char byte) {
  const bool slash = byte == '/';
  switch (state) {
    case PathState::kStart:
      return slash ? PathState::kRoot : PathState::kNoPath;
    case PathState::kRoot:
    case PathState::kAfterSlash:
      if (slash) return PathState::kNoPath;
      return byte == '.' ? PathState::kDot : PathState::kName;
    case PathState::kDot:
      if (slash) return PathState::kNoPath;
      return byte == '.' ? PathState::kDotDot : PathState::kName;
    case PathState::kDotDot:
      return slash ? PathState::kNoPath : PathState::kName;
    case PathState::kName:
      return slash ? PathState::kAfterSlash : PathState::kName;
    case PathState::kNoPath:
      break;
  }
  return PathState::kNoPath;
}

bool IsWhole(PathState state) {
  return state == PathState::kRoot || state == PathState::kName;
}

bool IsDead(const Glob::States& states) {
  return std::ranges::find(states, true) == states.end();
}

// One byte of each kind that neither pattern nor paths tell apart.
std::vector<char> KindsOfBytes(const Glob& a, const Glob& b) {
  std::set<std::tuple<bool, bool, Glob::States, Glob::States>> seen;
  std::vector<char> bytes;
  for (int value = 1; value < 256; ++value) {
    const char byte = static_cast<char>(value);
    if (seen.emplace(byte == '/', byte == '.', a.TakersOf(byte), b.TakersOf(byte)).second) {
      bytes.push_back(byte);
    }
  }
  return bytes;
}

enum class Answer : uint8_t { kYes, kNo, kTooLong };

// Is there a path that `a` matches and that `b` matches (or, with `b_matches` false, does not)?
Answer Search(const Glob& a, const Glob& b, bool b_matches) {
  using Place = std::tuple<PathState, Glob::States, Glob::States>;
  const std::vector<char> bytes = KindsOfBytes(a, b);
  const Place start{PathState::kStart, a.Begin(), b.Begin()};
  std::set<Place> seen = {start};
  std::vector<Place> open = {start};
  while (!open.empty()) {
    const auto [path, at_a, at_b] = open.back();
    open.pop_back();
    if (IsWhole(path) && Glob::IsMatch(at_a) && Glob::IsMatch(at_b) == b_matches) {
      return Answer::kYes;
    }
    for (const char byte : bytes) {
      Place next{After(path, byte), a.After(at_a, byte), b.After(at_b, byte)};
      if (std::get<0>(next) == PathState::kNoPath || IsDead(std::get<1>(next))) continue;
      if (b_matches && IsDead(std::get<2>(next))) continue;
      if (!seen.insert(next).second) continue;
      if (seen.size() > kStatesMax) return Answer::kTooLong;
      open.push_back(std::move(next));
    }
  }
  return Answer::kNo;
}

// Most pairs of rules are told apart by how they begin.
bool BeginAlike(const Glob& a, const Glob& b) {
  return a.prefix().starts_with(b.prefix()) || b.prefix().starts_with(a.prefix());
}

}  // namespace

bool MatchesNothing(const Glob& glob) {
  return Search(glob, glob, true) == Answer::kNo;
}

bool Covers(const Glob& wide, const Glob& narrow) {
  if (wide.directories_only() && !narrow.directories_only()) return false;
  if (!narrow.prefix().starts_with(wide.prefix())) return false;
  return Search(narrow, wide, false) == Answer::kNo;
}

bool Overlap(const Glob& a, const Glob& b) {
  return BeginAlike(a, b) && Search(a, b, true) != Answer::kNo;
}

}  // namespace mica::rebase
