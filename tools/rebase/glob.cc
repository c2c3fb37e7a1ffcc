// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/glob.h"

#include <fmt/format.h>

namespace mica::rebase {
namespace {

uint8_t Index(char byte) {
  return static_cast<uint8_t>(byte);
}

}  // namespace

Result<Glob> Glob::Parse(std::string_view pattern) {
  Glob glob;
  if (pattern.size() > 1 && pattern.back() == '/') {
    glob.directories_only_ = true;
    pattern.remove_suffix(1);
  }
  for (size_t at = 0; at < pattern.size();) {
    const char byte = pattern[at];
    if (byte == '*') {
      at = glob.ParseStars(pattern, at);
    } else if (byte == '[') {
      ASSIGN(at, glob.ParseClass(pattern, at));
    } else if (byte == '?') {
      std::bitset<256> any;
      any.set();
      any.reset(Index('/'));
      glob.tokens_.push_back({Token::Kind::kClass, 0, glob.classes_.size()});
      glob.classes_.push_back(any);
      ++at;
    } else {
      if (byte == '\\' && ++at == pattern.size()) {
        return Error{Errc::kInvalidArgument, "expected a byte after \"\\\", found the end"};
      }
      glob.tokens_.push_back({Token::Kind::kLiteral, pattern[at], 0});
      ++at;
    }
  }
  for (const Token& token : glob.tokens_) {
    if (token.kind != Token::Kind::kLiteral) break;
    glob.prefix_ += token.byte;
  }
  for (size_t i = glob.tokens_.size(); i > glob.prefix_.size(); --i) {
    if (glob.tokens_[i - 1].kind != Token::Kind::kLiteral) break;
    glob.suffix_.insert(glob.suffix_.begin(), glob.tokens_[i - 1].byte);
  }
  return glob;
}

// "/**/" may stand for a single "/": the "/" before it was read already, so the rest is a token
// that matches nothing, or anything that ends in "/".
size_t Glob::ParseStars(std::string_view pattern, size_t at) {
  size_t end = at;
  while (end < pattern.size() && pattern[end] == '*') ++end;
  if (end - at == 1) {
    tokens_.push_back({Token::Kind::kStar, 0, 0});
    return end;
  }
  const bool after_slash = at > 0 && pattern[at - 1] == '/';
  if (after_slash && end < pattern.size() && pattern[end] == '/') {
    tokens_.push_back({Token::Kind::kDirectories, 0, 0});
    return end + 1;
  }
  tokens_.push_back({Token::Kind::kDoubleStar, 0, 0});
  return end;
}

Result<size_t> Glob::ParseClass(std::string_view pattern, size_t at) {
  std::bitset<256> set;
  size_t i = at + 1;
  const bool negated = i < pattern.size() && pattern[i] == '!';
  if (negated) ++i;
  bool first = true;
  for (; i < pattern.size() && (first || pattern[i] != ']'); ++i, first = false) {
    if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
    const char low = pattern[i];
    char high = low;
    if (i + 2 < pattern.size() && pattern[i + 1] == '-' && pattern[i + 2] != ']') {
      high = pattern[i + 2];
      i += 2;
    }
    for (int byte = Index(low); byte <= Index(high); ++byte) set.set(static_cast<size_t>(byte));
  }
  if (i >= pattern.size()) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("expected \"]\" to close the class \"{}\"", pattern.substr(at))};
  }
  if (negated) set.flip();
  set.reset(Index('/'));
  tokens_.push_back({Token::Kind::kClass, 0, classes_.size()});
  classes_.push_back(set);
  return i + 1;
}

bool Glob::Accepts(const Token& token, char byte) const {
  if (token.kind == Token::Kind::kLiteral) return token.byte == byte;
  return classes_[token.set].test(Index(byte));
}

// A place may also be left without reading a byte when its token can match nothing; a kDirectories
// token only when it was just entered: it has read nothing yet.
void Glob::Close(States& at, States entered) const {
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (!entered[i] || tokens_[i].kind != Token::Kind::kDirectories) continue;
    at[i + 1] = entered[i + 1] = true;
  }
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const Token::Kind kind = tokens_[i].kind;
    const bool star = kind == Token::Kind::kStar || kind == Token::Kind::kDoubleStar;
    if (at[i] && star) at[i + 1] = true;
  }
}

// at[i]: the tokens before i have matched what was read.
Glob::States Glob::From(size_t place) const {
  States at(tokens_.size() + 1, false);
  at[place] = true;
  Close(at, at);
  return at;
}

Glob::States Glob::After(const States& at, char byte) const {
  States next(at.size(), false);
  States entered(at.size(), false);
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (!at[i]) continue;
    switch (tokens_[i].kind) {
      case Token::Kind::kLiteral:
      case Token::Kind::kClass:
        if (Accepts(tokens_[i], byte)) next[i + 1] = entered[i + 1] = true;
        break;
      case Token::Kind::kStar:
        if (byte != '/') next[i] = true;
        break;
      case Token::Kind::kDoubleStar:
        next[i] = true;
        break;
      case Token::Kind::kDirectories:
        next[i] = true;
        if (byte == '/') next[i + 1] = entered[i + 1] = true;
        break;
    }
  }
  Close(next, std::move(entered));
  return next;
}

Glob::States Glob::TakersOf(char byte) const {
  States takers;
  for (const Token& token : tokens_) {
    const bool one = token.kind == Token::Kind::kLiteral || token.kind == Token::Kind::kClass;
    takers.push_back(one && Accepts(token, byte));
  }
  return takers;
}

bool Glob::Matches(std::string_view path, PathKind kind) const {
  if (directories_only_ && kind != PathKind::kDirectory) return false;
  const size_t literals = prefix_.size() + suffix_.size();
  if (path.size() < literals || !path.starts_with(prefix_) || !path.ends_with(suffix_)) {
    return false;
  }
  return MiddleTakes(path.substr(prefix_.size(), path.size() - literals));
}

// Most patterns have no token or one between their literal ends, which needs no automaton: what
// lies between the ends of the path is what it has to take.
bool Glob::MiddleTakes(std::string_view bytes) const {
  const size_t end = tokens_.size() - suffix_.size();
  if (prefix_.size() == end) return bytes.empty();
  const Token& first = tokens_[prefix_.size()];
  if (prefix_.size() + 1 == end) {
    switch (first.kind) {
      case Token::Kind::kLiteral:
      case Token::Kind::kClass:
        return bytes.size() == 1 && Accepts(first, bytes.front());
      case Token::Kind::kStar:
        return !bytes.contains('/');
      case Token::Kind::kDoubleStar:
        return true;
      case Token::Kind::kDirectories:
        return bytes.empty() || bytes.back() == '/';
    }
  }
  States at = From(prefix_.size());
  for (const char byte : bytes) at = After(at, byte);
  return at[end];
}

}  // namespace mica::rebase
