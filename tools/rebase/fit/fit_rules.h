// SPDX-License-Identifier: Apache-2.0
// Fit rules: what a VM's owner did that may not get along with a patched master although nothing
// conflicts file by file: kernel modules, boot configuration, replaced libraries. Rules warn; they
// decide nothing. They are JSON with the fields that administrators of application layers know:
//
//   RuleName   what the finding is called          Severity  "Low", "Medium" or "High"
//   Comment    why it matters                      RuleType  "File" (the default) or "Value"
//   RulePath   a pattern of glob.h, or a list of them; "!" in front takes paths out again
//   RuleValue  File: which of the VM's changes count: "any" (the default), "added", "changed" (the
//              master has the file), "deleted", "executable", "setuid", "capability", "device"
//              Value: a key of KEY=VALUE or KEY VALUE lines in the file
//   AllowedValues  Value: what it may be; anything else is a finding
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "tools/guest/change_set.h"
#include "tools/guest/volume.h"
#include "tools/rebase/glob.h"
#include "tools/rebase/report.h"

namespace mica::rebase {

enum class FitTest : uint8_t {
  kAny,
  kAdded,
  kChanged,
  kDeleted,
  kExecutable,
  kSetuid,
  kCapability,
  kDevice,
  kValue,
};

struct FitRule {
  std::string name;
  std::string comment;
  FitLevel severity = FitLevel::kLow;
  std::vector<Glob> paths;
  std::vector<Glob> except;
  FitTest test = FitTest::kAny;
  std::string key;  // kValue
  std::vector<std::string> allowed;

  [[nodiscard]] bool Matches(std::string_view path, PathKind kind) const;
};

// kInvalidArgument names the file, the rule and what was expected.
Result<std::vector<FitRule>> ParseFitRules(std::string_view file, std::string_view text);

// policies/linux.fit.json, for people to read.
const std::vector<FitRule>& BuiltinLinuxFitRules();

struct FitFinding {
  const FitRule* rule = nullptr;
  std::string path;
  std::string value;  // what was found: "added", "changed", "mode 4755", KEY=VALUE
};

// What the VM changed (old master -> VM) that rules speak of, in the order of the rules. `ours` is
// read for rules about values. Rules speak of paths of the guest, which mounts the volume at
// `mount_point` (empty: "/").
Result<std::vector<FitFinding>> FindFits(const std::vector<FitRule>& rules,
                                         const guest::ChangeSet& changes, guest::Volume& ours,
                                         std::string_view mount_point = {});

}  // namespace mica::rebase
