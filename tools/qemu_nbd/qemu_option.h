// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "engine/base/result.h"

namespace mica {

// "first,key=value,…" as QEMU's --object has it; ",," stands for a comma inside a value.
struct QemuOption {
  std::string first;  // what comes before the first comma
  std::map<std::string, std::string, std::less<>> values;

  // Null when there is none.
  [[nodiscard]] const std::string* Find(std::string_view key) const;
};

// kInvalidArgument for a part without '=' and for a key that comes twice.
Result<QemuOption> ParseQemuOption(std::string_view text);

}  // namespace mica
