// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/mergers/stanza.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "tools/rebase/dpkg/version.h"
#include "tools/rebase/mergers/line_diff.h"
#include "tools/rebase/mergers/records.h"
#include "tools/rebase/mergers/three_way.h"

namespace mica::rebase {
namespace {

bool IsBlankLine(std::string_view line) {
  return line.find_first_not_of(" \t\r\n") == std::string_view::npos;
}

bool Contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Field by field; a conflict takes ours. `sets`: fields that are lists separated by ", ".
RecordMerge MergeFields(const Record* base_record, const Record& our_record,
                        const Record& their_record, const std::vector<std::string_view>& sets) {
  const Stanza base = base_record == nullptr ? Stanza() : Stanza::Parse(base_record->text);
  const Stanza ours = Stanza::Parse(our_record.text);
  Stanza merged = Stanza::Parse(their_record.text);
  const Stanza theirs = merged;
  std::string conflict;
  std::set<std::string> names;
  for (const Stanza* stanza : {&theirs, &ours}) {
    for (const StanzaField& field : stanza->fields()) names.insert(field.name);
  }
  for (const std::string& name : names) {
    if (Contains(sets, name)) {
      merged.Set(name, MergeSet(base.Get(name), ours.Get(name), theirs.Get(name), ", "));
      continue;
    }
    const auto our_value = ours.Find(name);
    const auto value = ThreeWay(base.Find(name), our_value, theirs.Find(name));
    if (!value) conflict = fmt::format("both changed {}; ours taken", name);
    merged.Set(name, value ? *value : our_value);
  }
  return {merged.Format() + "\n", std::move(conflict)};
}

std::vector<Record> ToRecords(std::string_view text, std::string_view key_field) {
  std::vector<Record> records;
  for (const std::string& stanza : SplitStanzas(text)) {
    records.push_back({std::string(Stanza::Parse(stanza).Get(key_field)), stanza + "\n"});
  }
  return records;
}

struct PackageName {
  std::string package;
  std::string architecture;
};

// Packages are known by their name, and by the architecture too where a version has several of one
// name.
class PackageKeys {
 public:
  explicit PackageKeys(RecordVersions& versions) {
    for (std::vector<Record>* records : {&versions.base, &versions.ours, &versions.theirs}) {
      std::set<std::string> seen;
      for (const Record& record : *records) {
        if (!seen.insert(record.key).second) many_.insert(record.key);
      }
    }
    for (std::vector<Record>* records : {&versions.base, &versions.ours, &versions.theirs}) {
      for (Record& record : *records) {
        const std::string name = record.key;
        std::string architecture(Stanza::Parse(record.text).Get("Architecture"));
        if (many_.contains(name)) record.key += ":" + architecture;
        names_[record.key] = {name, std::move(architecture)};
      }
      NumberEqualKeys(*records);
    }
  }

  [[nodiscard]] const PackageName* Find(const std::string& key) const {
    const auto at = names_.find(key);
    return at == names_.end() ? nullptr : &at->second;
  }

 private:
  std::set<std::string> many_;
  std::map<std::string, PackageName> names_;
};

RecordMerge MergePackage(const Record* base, const Record& ours, const Record& theirs) {
  const Stanza our_stanza = Stanza::Parse(ours.text);
  const Stanza their_stanza = Stanza::Parse(theirs.text);
  const std::string_view our_version = our_stanza.Get("Version");
  const std::string_view their_version = their_stanza.Get("Version");
  if (our_version == their_version) return MergeFields(base, ours, theirs, {});
  const Stanza base_stanza = base == nullptr ? Stanza() : Stanza::Parse(base->text);
  // Only one side changed the version: the description of the package is that side's as a whole.
  if (base != nullptr && base_stanza.Get("Version") == our_version) return {theirs.text, ""};
  if (base != nullptr && base_stanza.Get("Version") == their_version) return {ours.text, ""};
  return {CompareVersions(our_version, their_version) > 0 ? ours.text : theirs.text, ""};
}

}  // namespace

Stanza Stanza::Parse(std::string_view text) {
  Stanza stanza;
  for (const std::string_view line : SplitLines(text)) {
    if (IsBlankLine(line)) continue;
    std::string_view body = line;
    if (body.ends_with('\n')) body.remove_suffix(1);
    const size_t colon = body.find(':');
    const bool continues =
        body.starts_with(' ') || body.starts_with('\t') || colon == std::string_view::npos;
    if (continues) {
      if (stanza.fields_.empty()) stanza.fields_.emplace_back();
      stanza.fields_.back().value += "\n" + std::string(body);
      continue;
    }
    std::string_view value = body.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    stanza.fields_.push_back({std::string(body.substr(0, colon)), std::string(value)});
  }
  return stanza;
}

std::optional<std::string_view> Stanza::Find(std::string_view name) const {
  for (const StanzaField& field : fields_) {
    if (field.name == name) return field.value;
  }
  return std::nullopt;
}

std::string_view Stanza::Get(std::string_view name) const {
  return Find(name).value_or(std::string_view());
}

void Stanza::Set(std::string_view name, std::optional<std::string_view> value) {
  const auto field = std::ranges::find(fields_, name, &StanzaField::name);
  if (field == fields_.end()) {
    if (value) fields_.push_back({std::string(name), std::string(*value)});
  } else if (value) {
    field->value = *value;
  } else {
    fields_.erase(field);
  }
}

std::string Stanza::Format() const {
  std::string text;
  for (const StanzaField& field : fields_) {
    const bool on_next_line = field.value.starts_with('\n');
    text += fmt::format("{}:{}{}\n", field.name, on_next_line ? "" : " ", field.value);
  }
  return text;
}

std::vector<std::string> SplitStanzas(std::string_view text) {
  std::vector<std::string> stanzas;
  std::string current;
  for (const std::string_view line : SplitLines(text)) {
    if (!IsBlankLine(line)) {
      current += line;
    } else if (!current.empty()) {
      stanzas.push_back(std::exchange(current, {}));
    }
  }
  if (!current.empty()) {
    if (!current.ends_with('\n')) current += '\n';
    stanzas.push_back(std::move(current));
  }
  return stanzas;
}

MergeOutput MergePackageStanzas(const MergeInput& input) {
  RecordVersions versions = {ToRecords(input.base, "Package"), ToRecords(input.ours, "Package"),
                             ToRecords(input.theirs, "Package")};
  const PackageKeys keys(versions);
  RecordRules rules;
  rules.what = "package";
  rules.merge = MergePackage;
  if (input.context.side_of) {
    rules.side = [&](const std::string& key) -> std::optional<Side> {
      const PackageName* name = keys.Find(key);
      if (name == nullptr) return std::nullopt;
      return input.context.side_of(name->package, name->architecture);
    };
  }
  return MergeRecords(versions, rules);
}

MergeOutput MergeDebconf(const MergeInput& input) {
  RecordVersions versions = {ToRecords(input.base, "Name"), ToRecords(input.ours, "Name"),
                             ToRecords(input.theirs, "Name")};
  for (auto* records : {&versions.base, &versions.ours, &versions.theirs}) {
    NumberEqualKeys(*records);
  }
  RecordRules rules;
  rules.what = "question";
  rules.merge = [](const Record* base, const Record& ours, const Record& theirs) {
    return MergeFields(base, ours, theirs, {"Owners", "Flags"});
  };
  return MergeRecords(versions, rules);
}

}  // namespace mica::rebase
