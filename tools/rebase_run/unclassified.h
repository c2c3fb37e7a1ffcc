// SPDX-License-Identifier: Apache-2.0
// Where VMs changed something that no policy rule speaks of: what an administrator may want to
// write rules for.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "tools/cli/output.h"

namespace mica {

class Unclassified {
 public:
  // Counts what the report of one VM has.
  void Add(std::string_view report);
  // The folders with the most changes first, each as a pattern to begin a rule with. `failed`: VMs
  // that could not be looked at.
  void Print(Output& output, size_t failed) const;

 private:
  struct Folder {
    uint64_t changes = 0;
    uint64_t vms = 0;
  };
  std::map<std::string, Folder> folders_;
  uint64_t vms_ = 0;
  uint64_t changes_ = 0;  // of the VMs' own, of any kind
  uint64_t unclassified_ = 0;
};

}  // namespace mica
