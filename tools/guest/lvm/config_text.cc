// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/lvm/config_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace mica::guest {

namespace {

constexpr int kDepthMax = 16;
constexpr size_t kNodesMax = 200'000;
constexpr size_t kValuesMax = 200'000;  // in the whole text

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_.+-/").find(c) != std::string_view::npos;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<ConfigNode> Run() {
    ConfigNode root;
    TRY(ParseItems(root, 0));
    if (at_ < text_.size()) return Corrupt("expected a name");
    return root;
  }

 private:
  [[nodiscard]] Error Corrupt(std::string_view what) const {
    const auto line = 1 + std::ranges::count(text_.substr(0, at_), '\n');
    return {Errc::kCorrupt, fmt::format("LVM metadata: line {}: {}", line, what)};
  }

  // Spaces and comments. A zero byte ends the text, as it does for LVM.
  void SkipSpace() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\0') {
        text_ = text_.substr(0, at_);
      } else if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        ++at_;
      } else {
        return;
      }
    }
  }

  bool Take(char wanted) {
    SkipSpace();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  // Up to a closing brace or the end.
  Result<void> ParseItems(ConfigNode& parent, int depth) {
    if (depth > kDepthMax) return Corrupt(fmt::format("sections nest deeper than {}", kDepthMax));
    while (true) {
      SkipSpace();
      if (at_ >= text_.size() || !IsNameCharacter(text_[at_])) return {};
      if (++nodes_ > kNodesMax) return Corrupt(fmt::format("more than {} names", kNodesMax));
      const size_t start = at_;
      while (at_ < text_.size() && IsNameCharacter(text_[at_])) ++at_;
      ConfigNode node;
      node.name = text_.substr(start, at_ - start);
      if (Take('{')) {
        TRY(ParseItems(node, depth + 1));
        if (!Take('}')) return Corrupt("expected a closing brace");
      } else if (Take('=')) {
        TRY(ParseValues(node));
      } else {
        return Corrupt(fmt::format("expected a value or a section after {}", node.name));
      }
      parent.children.push_back(std::move(node));
    }
  }

  Result<void> ParseValues(ConfigNode& node) {
    if (!Take('[')) return ParseValue(node);
    while (!Take(']')) {
      TRY(ParseValue(node));
      if (Take(',')) continue;
      if (Take(']')) break;
      return Corrupt("expected a comma or the end of the list");
    }
    return {};
  }

  Result<void> ParseValue(ConfigNode& node) {
    if (++values_ > kValuesMax) return Corrupt(fmt::format("more than {} values", kValuesMax));
    if (Take('"')) return ParseString(node);
    int64_t number = 0;
    const auto parsed = std::from_chars(text_.data() + at_, text_.data() + text_.size(), number);
    if (parsed.ec != std::errc{}) return Corrupt("expected a number, a string or a list of them");
    at_ = static_cast<size_t>(parsed.ptr - text_.data());
    node.values.emplace_back(number);
    return {};
  }

  // Behind the opening quotation mark.
  Result<void> ParseString(ConfigNode& node) {
    std::string value;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\' && ++at_ == text_.size()) break;
      value += text_[at_];
    }
    if (at_ >= text_.size()) return Corrupt("a string without an end");
    ++at_;
    node.values.emplace_back(std::move(value));
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
  size_t nodes_ = 0;
  size_t values_ = 0;
};

}  // namespace

const ConfigNode* ConfigNode::Find(std::string_view child) const noexcept {
  const auto found = std::ranges::find(children, child, &ConfigNode::name);
  return found == children.end() ? nullptr : &*found;
}

Result<uint64_t> ConfigNode::Number(std::string_view child) const {
  const ConfigNode* const found = Find(child);
  if (found != nullptr && found->values.size() == 1) {
    const auto* const number = std::get_if<int64_t>(&found->values.front());
    if (number != nullptr && *number >= 0) return static_cast<uint64_t>(*number);
  }
  return Error{Errc::kCorrupt, fmt::format("LVM metadata: {} has no number {}", name, child)};
}

Result<std::string> ConfigNode::Text(std::string_view child) const {
  const ConfigNode* const found = Find(child);
  if (found != nullptr && found->values.size() == 1) {
    if (const auto* const text = std::get_if<std::string>(&found->values.front())) return *text;
  }
  return Error{Errc::kCorrupt, fmt::format("LVM metadata: {} has no text {}", name, child)};
}

Result<ConfigNode> ParseConfigText(std::string_view text) {
  return Parser(text).Run();
}

}  // namespace mica::guest
