// SPDX-License-Identifier: Apache-2.0
#include "tools/qemu_nbd/qemu_option.h"

#include <fmt/core.h>

#include <vector>

namespace mica {

namespace {

std::vector<std::string> SplitAtCommas(std::string_view text) {
  std::vector<std::string> parts(1);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ',') {
      parts.back() += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == ',') {
      parts.back() += ',';
      ++i;
    } else {
      parts.emplace_back();
    }
  }
  return parts;
}

}  // namespace

const std::string* QemuOption::Find(std::string_view key) const {
  const auto found = values.find(key);
  return found == values.end() ? nullptr : &found->second;
}

Result<QemuOption> ParseQemuOption(std::string_view text) {
  QemuOption parsed;
  bool first = true;
  for (std::string& part : SplitAtCommas(text)) {
    const size_t equals = part.find('=');
    if (first) {
      parsed.first = std::move(part);
      first = false;
    } else if (equals == std::string::npos || equals == 0) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("'{}': expected KEY=VALUE, found '{}'", text, part)};
    } else if (!parsed.values.emplace(part.substr(0, equals), part.substr(equals + 1)).second) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("'{}': '{}' comes twice", text, part.substr(0, equals))};
    }
  }
  return parsed;
}

}  // namespace mica
