// SPDX-License-Identifier: Apache-2.0
// Path patterns of the policy language, matched against whole absolute paths, byte by byte:
//   *        any bytes but "/"            ?        one byte but "/"
//   **       any bytes                    [a-z]    one byte of the set; [!a-z] one not in it, never
//   "/"
//   /**/     one "/" or any directories between two "/"
//   \x       x itself                     a "/" at the end: directories only
// A match costs at most length of pattern x length of path; no pattern makes it explode.
#pragma once

#include <bitset>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"

namespace mica::rebase {

enum class PathKind : uint8_t { kDirectory, kOther };

class Glob {
 public:
  // kInvalidArgument when a class is not closed or an escape ends the pattern.
  static Result<Glob> Parse(std::string_view pattern);

  [[nodiscard]] bool Matches(std::string_view path, PathKind kind) const;

  // The pattern as an automaton, for glob_compare.h: which of its places a path, read byte by byte,
  // has reached. Kinds of objects are not part of it.
  using States = std::vector<bool>;
  [[nodiscard]] States Begin() const { return From(0); }
  [[nodiscard]] States After(const States& at, char byte) const;
  static bool IsMatch(const States& at) { return at.back(); }
  // The tokens for one byte of some kind that take this one.
  [[nodiscard]] States TakersOf(char byte) const;
  [[nodiscard]] std::string_view prefix() const { return prefix_; }
  [[nodiscard]] bool directories_only() const { return directories_only_; }

 private:
  struct Token {
    enum class Kind : uint8_t { kLiteral, kClass, kStar, kDoubleStar, kDirectories };
    Kind kind = Kind::kLiteral;
    char byte = 0;
    size_t set = 0;  // index into classes_
  };

  Result<size_t> ParseClass(std::string_view pattern, size_t at);
  size_t ParseStars(std::string_view pattern, size_t at);
  [[nodiscard]] States From(size_t place) const;
  void Close(States& at, States entered) const;
  [[nodiscard]] bool Accepts(const Token& token, char byte) const;

  // Whether the tokens after the prefix and before the suffix take these bytes.
  [[nodiscard]] bool MiddleTakes(std::string_view bytes) const;

  std::string prefix_;  // the literal bytes every match starts with
  std::string suffix_;  // the literal bytes it ends with, after what is not literal
  std::vector<Token> tokens_;
  std::vector<std::bitset<256>> classes_;
  bool directories_only_ = false;
};

}  // namespace mica::rebase
