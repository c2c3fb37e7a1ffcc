// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/keyed_lines.h"

#include <charconv>

#include "tools/rebase/id_map.h"
#include "tools/rebase/mergers/line_diff.h"
#include "tools/rebase/mergers/records.h"

namespace mica::rebase {
namespace {

using Words = std::vector<std::string>;

Words SplitWords(std::string_view line) {
  Words words;
  while (true) {
    const size_t begin = line.find_first_not_of(" \t\r\n");
    if (begin == std::string_view::npos) return words;
    const size_t end = std::min(line.find_first_of(" \t\r\n", begin), line.size());
    words.emplace_back(line.substr(begin, end - begin));
    line.remove_prefix(end);
  }
}

std::string_view WithoutEnd(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  return line;
}

// `key` gives the key of one line.
template <class Key>
std::vector<Record> ParseLines(std::string_view text, const Key& key) {
  std::vector<Record> records;
  for (const std::string_view line : SplitLines(text)) {
    records.push_back({key(WithoutEnd(line)), std::string(WithoutEnd(line)) + "\n"});
  }
  NumberEqualKeys(records);
  return records;
}

template <class Key>
RecordVersions ParseVersions(const MergeInput& input, const Key& key) {
  return {ParseLines(input.base, key), ParseLines(input.ours, key), ParseLines(input.theirs, key)};
}

std::string WholeLine(std::string_view line) {
  return std::string(line);
}

std::string HostsKey(std::string_view line) {
  const Words words = SplitWords(line);
  return words.empty() || words[0].starts_with('#') ? std::string(line) : words[0];
}

// The names of an address are a set; the first one (the canonical name) is ours where ours changed
// it.
RecordMerge MergeHost(const Record* base, const Record& ours, const Record& theirs) {
  auto names = [](const Record* record) {
    if (record == nullptr) return std::string();
    std::string_view line = WithoutEnd(record->text);
    const Words words = SplitWords(line.substr(0, line.find('#')));
    std::string joined;
    for (size_t i = 1; i < words.size(); ++i) joined += (i > 1 ? " " : "") + words[i];
    return joined;
  };
  const std::string merged = MergeSet(names(base), names(&theirs), names(&ours), " ");
  return {SplitWords(ours.text)[0] + "\t" + merged + "\n", ""};
}

std::string OverrideKey(std::string_view line) {
  const Words words = SplitWords(line);
  return words.size() < 4 ? std::string(line) : words[3];
}

std::string Renumber(const std::string& owner, uint32_t (IdMap::*map)(uint32_t) const,
                     const IdMap& ids) {
  uint32_t id = 0;
  if (!owner.starts_with('#')) return owner;
  const auto [end, error] = std::from_chars(owner.data() + 1, owner.data() + owner.size(), id);
  if (error != std::errc() || end != owner.data() + owner.size()) return owner;
  return "#" + std::to_string((ids.*map)(id));
}

void RenumberOverrides(std::vector<Record>& records, const IdMap& ids) {
  for (Record& record : records) {
    const Words words = SplitWords(record.text);
    if (words.size() < 4) continue;
    record.text = Renumber(words[0], &IdMap::User, ids) + " " +
                  Renumber(words[1], &IdMap::Group, ids) + " " + words[2] + " " + words[3] + "\n";
  }
}

std::vector<Record> ParseDiversions(std::string_view text) {
  const auto lines = SplitLines(text);
  std::vector<Record> records;
  for (size_t i = 0; i + 2 < lines.size(); i += 3) {
    records.push_back(
        {std::string(WithoutEnd(lines[i])), std::string(lines[i]) + std::string(lines[i + 1]) +
                                                std::string(WithoutEnd(lines[i + 2])) + "\n"});
  }
  NumberEqualKeys(records);
  return records;
}

}  // namespace

MergeOutput MergeLineSet(const MergeInput& input) {
  return MergeRecords(ParseVersions(input, WholeLine), {"line", nullptr, nullptr});
}

MergeOutput MergeHosts(const MergeInput& input) {
  return MergeRecords(ParseVersions(input, HostsKey), {"address", MergeHost, nullptr});
}

MergeOutput MergeStatOverride(const MergeInput& input) {
  RecordVersions versions = ParseVersions(input, OverrideKey);
  if (input.context.ids != nullptr) RenumberOverrides(versions.ours, *input.context.ids);
  return MergeRecords(versions, {"override of", nullptr, nullptr});
}

MergeOutput MergeDiversions(const MergeInput& input) {
  for (const std::string_view text : {input.base, input.ours, input.theirs}) {
    if (SplitLines(text).size() % 3 != 0) {
      return {std::nullopt, {"expected three lines for each diversion"}};
    }
  }
  return MergeRecords(
      {ParseDiversions(input.base), ParseDiversions(input.ours), ParseDiversions(input.theirs)},
      {"diversion of", nullptr, nullptr});
}

}  // namespace mica::rebase
