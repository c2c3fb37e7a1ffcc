// SPDX-License-Identifier: Apache-2.0
// Three-way merge of a file that is a sequence of records with keys: what most databases under /etc
// and /var/lib/dpkg are. Each record is merged by itself; the order is theirs, with the records
// only ours has put after the record they follow in ours.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/rebase/mergers/merger.h"

namespace mica::rebase {

struct Record {
  std::string key;
  std::string text;  // as in the file, with its end
};

struct RecordVersions {
  std::vector<Record> base;
  std::vector<Record> ours;
  std::vector<Record> theirs;
};

struct RecordMerge {
  std::string text;
  std::string conflict;  // for people; empty when both sides' changes are in
};

struct RecordRules {
  std::string what;  // "user", "package": how conflicts call a record
  // Joins a record both sides changed (base null: both added it). Without it ours is taken, as a
  // conflict.
  std::function<RecordMerge(const Record* base, const Record& ours, const Record& theirs)> merge;
  // Where it answers, the record, or its absence, is that side's.
  std::function<std::optional<Side>(const std::string& key)> side;
};

// Gives equal keys within one version a number, so that keys are unique.
void NumberEqualKeys(std::vector<Record>& records);

// Keys are unique within each version.
MergeOutput MergeRecords(const RecordVersions& versions, const RecordRules& rules);

// Three-way merge of lists in which order means nothing ("a,b,c"): what either side added or
// removed is added or removed; the order is theirs, then ours.
std::string MergeSet(std::string_view base, std::string_view ours, std::string_view theirs,
                     std::string_view separator);

std::vector<std::string> SplitText(std::string_view text, std::string_view separator);

}  // namespace mica::rebase
