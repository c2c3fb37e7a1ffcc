// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/records.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <set>

namespace mica::rebase {
namespace {

using Index = std::map<std::string_view, const Record*>;

Index MakeIndex(const std::vector<Record>& records) {
  Index index;
  for (const Record& record : records) index.emplace(record.key, &record);
  return index;
}

const Record* Find(const Index& index, std::string_view key) {
  const auto at = index.find(key);
  return at == index.end() ? nullptr : at->second;
}

class Merge {
 public:
  Merge(const RecordVersions& versions, const RecordRules& rules)
      : versions_(versions),
        rules_(rules),
        base_(MakeIndex(versions.base)),
        ours_(MakeIndex(versions.ours)),
        theirs_(MakeIndex(versions.theirs)) {}

  MergeOutput Run() {
    for (const Record& record : versions_.theirs) Decide(record.key);
    for (const Record& record : versions_.ours) Decide(record.key);
    return {Join(), std::move(conflicts_)};
  }

 private:
  void Conflict(std::string_view key, std::string_view what) {
    conflicts_.push_back(fmt::format("{} {}: {}", rules_.what, key, what));
  }

  void Decide(const std::string& key) {
    if (!decided_.insert(key).second) return;
    const Record* base = Find(base_, key);
    const Record* ours = Find(ours_, key);
    const Record* theirs = Find(theirs_, key);
    if (rules_.side) {
      if (const auto side = rules_.side(key)) {
        Keep(key, *side == Side::kOurs ? ours : theirs);
        return;
      }
    }
    if (ours != nullptr && theirs != nullptr) {
      DecideBoth(key, base, *ours, *theirs);
      return;
    }
    const Record* present = ours != nullptr ? ours : theirs;
    if (base == nullptr) {
      Keep(key, present);  // added by one side
    } else if (present->text != base->text) {
      Conflict(key, ours != nullptr ? "changed by ours, removed by theirs; kept"
                                    : "removed by ours, changed by theirs; kept");
      Keep(key, present);
    }
  }

  void DecideBoth(const std::string& key, const Record* base, const Record& ours,
                  const Record& theirs) {
    if (ours.text == theirs.text || (base != nullptr && ours.text == base->text)) {
      Keep(key, &theirs);
    } else if (base != nullptr && theirs.text == base->text) {
      Keep(key, &ours);
    } else if (rules_.merge) {
      RecordMerge merged = rules_.merge(base, ours, theirs);
      if (!merged.conflict.empty()) Conflict(key, merged.conflict);
      texts_[key] = std::move(merged.text);
    } else {
      Conflict(key, "changed by both; ours taken");
      Keep(key, &ours);
    }
  }

  void Keep(const std::string& key, const Record* record) {
    if (record != nullptr) texts_[key] = record->text;
  }

  std::string Join() {
    // Records that only ours has: by the nearest record before them in ours that theirs has too,
    // and those before any such record.
    std::map<std::string_view, std::string> following;
    std::string joined;
    std::string* place = &joined;
    for (const Record& record : versions_.ours) {
      const auto text = texts_.find(record.key);
      if (text == texts_.end()) continue;
      if (Find(theirs_, record.key) != nullptr) {
        place = &following[record.key];
      } else {
        Append(*place, text->second);
      }
    }
    for (const Record& record : versions_.theirs) {
      const auto text = texts_.find(record.key);
      if (text != texts_.end()) Append(joined, text->second);
      const auto more = following.find(record.key);
      if (more != following.end()) Append(joined, more->second);
    }
    return joined;
  }

  // A file's last record may lack the line feed that it needs when others follow.
  static void Append(std::string& text, std::string_view record) {
    if (record.empty()) return;
    if (!text.empty() && text.back() != '\n') text += '\n';
    text += record;
  }

  const RecordVersions& versions_;
  const RecordRules& rules_;
  Index base_;
  Index ours_;
  Index theirs_;
  std::set<std::string> decided_;
  std::map<std::string, std::string, std::less<>> texts_;  // of the records that stay
  std::vector<std::string> conflicts_;
};

}  // namespace

void NumberEqualKeys(std::vector<Record>& records) {
  std::map<std::string, int> seen;
  for (Record& record : records) {
    const int before = seen[record.key]++;
    if (before > 0) record.key += fmt::format(" ({})", before + 1);
  }
}

MergeOutput MergeRecords(const RecordVersions& versions, const RecordRules& rules) {
  return Merge(versions, rules).Run();
}

std::vector<std::string> SplitText(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  while (true) {
    const size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

std::string MergeSet(std::string_view base, std::string_view ours, std::string_view theirs,
                     std::string_view separator) {
  auto split = [&](std::string_view text) {
    return text.empty() ? std::vector<std::string>() : SplitText(text, separator);
  };
  const std::vector<std::string> our_items = split(ours);
  const std::vector<std::string> their_items = split(theirs);
  const std::vector<std::string> base_items = split(base);
  const std::set<std::string> in_base(base_items.begin(), base_items.end());
  const std::set<std::string> in_ours(our_items.begin(), our_items.end());
  const std::set<std::string> in_theirs(their_items.begin(), their_items.end());
  std::vector<std::string> merged;
  for (const std::string& item : their_items) {
    if (in_ours.contains(item) || !in_base.contains(item)) merged.push_back(item);
  }
  for (const std::string& item : our_items) {
    if (!in_theirs.contains(item) && !in_base.contains(item)) merged.push_back(item);
  }
  return fmt::format("{}", fmt::join(merged, separator));
}

}  // namespace mica::rebase
