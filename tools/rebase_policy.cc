// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_policy.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "tools/rebase/policy_parse.h"

namespace mica {

Result<rebase::Policy> LoadPolicy(const std::vector<std::string>& files) {
  rebase::Policy policy;
  policy.Push(rebase::BuiltinLinuxPolicy());
  for (const std::string& name : files) {
    std::ifstream file(name, std::ios::binary);
    if (!file) return ErrnoError(errno, fmt::format("{}: cannot be read as a policy", name));
    const std::string text(std::istreambuf_iterator<char>(file), {});
    ASSIGN(rebase::PolicyLayer layer, rebase::ParsePolicy(name, text));
    policy.Push(std::move(layer));
  }
  return policy;
}

}  // namespace mica
