// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/accounts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <map>

#include "tools/rebase/id_map.h"
#include "tools/rebase/mergers/records.h"
#include "tools/rebase/mergers/three_way.h"

namespace mica::rebase {
namespace {

enum class Field : uint8_t {
  kPlain,
  kUserId,
  kGroupId,
  kMembers,  // a list separated by commas
  kDay,      // of the last change: the later one
};

using Schema = std::vector<Field>;
using Fields = std::vector<std::string>;

const Schema kPasswd = {Field::kPlain, Field::kPlain, Field::kUserId, Field::kGroupId,
                        Field::kPlain, Field::kPlain, Field::kPlain};
const Schema kGroup = {Field::kPlain, Field::kPlain, Field::kGroupId, Field::kMembers};
const Schema kShadow = {Field::kPlain, Field::kPlain, Field::kDay,   Field::kPlain, Field::kPlain,
                        Field::kPlain, Field::kPlain, Field::kPlain, Field::kPlain};
const Schema kSubordinate = {Field::kUserId, Field::kPlain, Field::kPlain};
const Schema kGshadow = {Field::kPlain, Field::kPlain, Field::kMembers, Field::kMembers};

std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || error != std::errc() || stop != end) return std::nullopt;
  return value;
}

Fields Split(const Record& record) {
  std::string_view line = record.text;
  if (line.ends_with('\n')) line.remove_suffix(1);
  return SplitText(line, ":");
}

std::string Join(const Fields& fields) {
  return fmt::format("{}\n", fmt::join(fields, ":"));
}

enum class LineKey : uint8_t { kFirstField, kWholeLine };

std::vector<Record> Parse(std::string_view text, LineKey key) {
  std::vector<Record> records;
  if (text.ends_with('\n')) text.remove_suffix(1);
  if (text.empty()) return records;
  for (const std::string& line : SplitText(text, "\n")) {
    // A line without fields (a comment) is its own key; no account can be named like it.
    const bool whole = key == LineKey::kWholeLine || line.find(':') == std::string::npos;
    records.push_back({whole ? line : line.substr(0, line.find(':')), line + "\n"});
  }
  NumberEqualKeys(records);
  return records;
}

// Ids that ours gave: those of new accounts, and those that differ from the common version's.
void Renumber(std::vector<Record>& ours, const std::vector<Record>& base, const Schema& schema,
              const IdMap& ids) {
  std::map<std::string_view, const Record*> before;
  for (const Record& record : base) before.emplace(record.key, &record);
  for (Record& record : ours) {
    Fields fields = Split(record);
    if (fields.size() != schema.size()) continue;
    const auto at = before.find(record.key);
    const Fields old = at == before.end() ? Fields() : Split(*at->second);
    for (size_t i = 0; i < fields.size(); ++i) {
      const std::optional<uint64_t> id = Number(fields[i]);
      if (!id || *id > UINT32_MAX || (i < old.size() && old[i] == fields[i])) continue;
      const auto number = static_cast<uint32_t>(*id);
      if (schema[i] == Field::kUserId) fields[i] = std::to_string(ids.User(number));
      if (schema[i] == Field::kGroupId) fields[i] = std::to_string(ids.Group(number));
    }
    record.text = Join(fields);
  }
}

std::optional<std::string> MergeField(Field kind, const std::string& base, const std::string& ours,
                                      const std::string& theirs) {
  if (kind == Field::kMembers) return MergeSet(base, ours, theirs, ",");
  if (kind == Field::kDay && Number(ours) && Number(theirs)) {
    return *Number(ours) > *Number(theirs) ? ours : theirs;
  }
  return ThreeWay(base, ours, theirs);
}

RecordMerge MergeAccount(const Schema& schema, const Record* base, const Record& ours,
                         const Record& theirs) {
  const Fields our_fields = Split(ours);
  const Fields their_fields = Split(theirs);
  Fields base_fields = base == nullptr ? Fields() : Split(*base);
  base_fields.resize(schema.size());
  if (our_fields.size() != schema.size() || their_fields.size() != schema.size()) {
    return {ours.text, "unusual number of fields; ours taken"};
  }
  Fields merged;
  std::string conflict;
  for (size_t i = 0; i < schema.size(); ++i) {
    auto field = MergeField(schema[i], base_fields[i], our_fields[i], their_fields[i]);
    if (!field) conflict = fmt::format("both changed field {}; ours taken", i + 1);
    merged.push_back(field ? *std::move(field) : our_fields[i]);
  }
  return {Join(merged), std::move(conflict)};
}

MergeOutput MergeAccounts(const MergeInput& input, const Schema& schema, const char* what) {
  RecordVersions versions = {Parse(input.base, LineKey::kFirstField),
                             Parse(input.ours, LineKey::kFirstField),
                             Parse(input.theirs, LineKey::kFirstField)};
  if (input.context.ids != nullptr) {
    Renumber(versions.ours, versions.base, schema, *input.context.ids);
  }
  RecordRules rules;
  rules.what = what;
  rules.merge = [&](const Record* base, const Record& ours, const Record& theirs) {
    return MergeAccount(schema, base, ours, theirs);
  };
  return MergeRecords(versions, rules);
}

struct SubordinateRange {
  std::string owner;
  uint64_t first = 0;
  uint64_t end = 0;
  const Record* record = nullptr;
};

std::optional<SubordinateRange> ParseRange(const Record& record) {
  const Fields fields = Split(record);
  if (fields.size() != 3 || !Number(fields[1]) || !Number(fields[2])) return std::nullopt;
  const uint64_t first = *Number(fields[1]);
  if (*Number(fields[2]) > UINT64_MAX - first) return std::nullopt;
  return SubordinateRange{fields[0], first, first + *Number(fields[2]), &record};
}

void FindOverlaps(const RecordVersions& versions, MergeOutput& output) {
  for (const Record& our_record : versions.ours) {
    const auto ours = ParseRange(our_record);
    if (!ours) continue;
    for (const Record& their_record : versions.theirs) {
      const auto theirs = ParseRange(their_record);
      if (!theirs || theirs->owner == ours->owner) continue;
      if (ours->first >= theirs->end || theirs->first >= ours->end) continue;
      output.conflicts.push_back(fmt::format("the range of {} from {} overlaps that of {}",
                                             ours->owner, ours->first, theirs->owner));
    }
  }
}

}  // namespace

MergeOutput MergePasswd(const MergeInput& input) {
  return MergeAccounts(input, kPasswd, "user");
}
MergeOutput MergeGroup(const MergeInput& input) {
  return MergeAccounts(input, kGroup, "group");
}
MergeOutput MergeShadow(const MergeInput& input) {
  return MergeAccounts(input, kShadow, "user");
}
MergeOutput MergeGshadow(const MergeInput& input) {
  return MergeAccounts(input, kGshadow, "group");
}

MergeOutput MergeSubordinateIds(const MergeInput& input) {
  RecordVersions versions = {Parse(input.base, LineKey::kWholeLine),
                             Parse(input.ours, LineKey::kWholeLine),
                             Parse(input.theirs, LineKey::kWholeLine)};
  if (input.context.ids != nullptr) {
    Renumber(versions.ours, versions.base, kSubordinate, *input.context.ids);
  }
  MergeOutput output = MergeRecords(versions, {"range", nullptr, nullptr});
  FindOverlaps(versions, output);
  return output;
}

}  // namespace mica::rebase
