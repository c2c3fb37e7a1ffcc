// SPDX-License-Identifier: Apache-2.0
// The report of a rebase: one entry for everything of the VM's that had to be carried, and for
// everything that did not simply fit. Names of files are bytes; the renderings escape what is not
// UTF-8.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/guest/object.h"
#include "tools/rebase/severity.h"

namespace mica::rebase {

// What one side did to an object since the common version.
struct ObjectChange {
  bool created = false;
  bool deleted = false;
  bool content = false;
  bool attributes = false;
  bool names = false;
  [[nodiscard]] bool any() const { return created || deleted || content || attributes || names; }
};

enum class Action : uint8_t {
  kCarried,      // ours as it is
  kEqual,        // both sides did the same
  kMerged,       // both sides' changes are in
  kOurs,         // ours is active where both wanted something else
  kTheirs,       // theirs is active
  kBoth,         // both are there, under two names
  kKept,         // removed by one side, kept because of the other
  kRemoved,      // removed, although the other side had changed it
  kDropped,      // ours is not carried: a rule says so
  kRegenerated,  // the same; the guest has to rebuild it
  kRenumbered,   // an account of ours got another id
  kBroken,       // a check of the result failed
};

enum class Topic : uint8_t { kObject, kPackage, kAccount, kDependency, kVolume };

// One version of a file, where the entry is about differing content.
struct VersionFacts {
  uint64_t size = 0;  // bytes
  guest::Timestamp modified;
  std::optional<uint64_t> digest;  // XXH3 of the content; absent when it was not read
};

struct ReportEntry {
  Topic topic = Topic::kObject;
  std::string path;  // of ours, else of theirs; a package's, account's or volume's name
  std::vector<std::string> other_paths;  // all further ones of ours, the base and a changed theirs
  guest::ObjectKind kind = guest::ObjectKind::kRegular;
  ObjectChange ours;
  ObjectChange theirs;
  Action action = Action::kCarried;
  Severity severity = Severity::kInfo;
  std::string detail;            // for people
  bool unclassified = false;     // the VM changed it, and no rule of the policy speaks of it
  std::string rule;              // "layer:line: pattern" when one decided
  std::string merger;            // the one that joined the two
  std::string package;           // whose unit decided, or which owns the path
  std::string volume;            // guest::VolumeId::Text of the one that has the path
  std::string mounted_at;        // what `path` begins with that is not the volume's own
  std::string saved_beside;      // name of the losing version, in the directory of `path`
  std::optional<size_t> rescue;  // index of the losing version among the rescue items
  std::optional<VersionFacts> base_facts;
  std::optional<VersionFacts> our_facts;
  std::optional<VersionFacts> their_facts;
};

// Adds a detail to the entry, which gets at least this severity.
void Tell(ReportEntry& entry, Severity severity, std::string_view detail);

std::string_view ActionName(Action action);
std::string_view TopicName(Topic topic);

// What a verb's exit status is made of (product contract: done, conflicts left for a person,
// failed).
enum class Verdict : uint8_t { kClean, kConflicts, kBlocked };

// How `fit --fail-on` calls what is worse than nothing: a warning is low, an error medium, a block
// high.
enum class FitLevel : uint8_t { kNone, kLow, kMedium, kHigh };

class Report {
 public:
  // Returns the entry's index. References stay valid until the next Add.
  size_t Add(ReportEntry entry);
  ReportEntry& At(size_t index) { return entries_[index]; }
  [[nodiscard]] const std::vector<ReportEntry>& entries() const { return entries_; }

  [[nodiscard]] std::array<size_t, kSeverityNames.size()> Counts() const;  // by severity
  [[nodiscard]] Severity Highest() const;
  [[nodiscard]] Verdict GetVerdict() const;
  [[nodiscard]] FitLevel GetFitLevel() const;

 private:
  std::vector<ReportEntry> entries_;
};

}  // namespace mica::rebase
