// SPDX-License-Identifier: Apache-2.0
// Policy: what shall happen to a path when both sides changed it, or when only the VM did. Rules
// come in layers (built-in, site, pool, VM); for each key the last rule that matches the path and
// sets the key wins, so a later rule about one key does not undo an earlier rule about another. A
// rule
// "!GLOB" takes back everything said about its paths so far. The language is described in
// policies/linux.policy; the parser is policy_parse.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/rebase/glob.h"
#include "tools/rebase/severity.h"

namespace mica::rebase {

enum class PolicyKey : uint8_t { kOne, kBoth, kDelMod, kType, kMeta, kSave, kSeverity };
inline constexpr size_t kPolicyKeyCount = 7;

// one=: only ours changed the object.
enum class OneSided : uint8_t {
  kNormal,      // take it
  kDrop,        // the new master's state stays
  kRegenerate,  // the same, and the guest has to rebuild the file
  kKeep,        // take it, even against a package unit
};
// both=: both sides changed the content, differently.
enum class BothChanged : uint8_t {
  kAuto,  // three-way text if that is clean, else ours active
  kOurs,
  kTheirs,
  kNewer,     // the later modification time
  kKeepBoth,  // ours active, theirs beside it
  kMerge,     // the named merger; ours active where it finds a conflict
  kUnit,      // the side its package comes from
  kFail,      // ours active, error
};
enum class DeleteModify : uint8_t { kKeepModified, kDelete, kFail };
enum class TypeChange : uint8_t { kFail, kOurs, kTheirs };
enum class MetaMerge : uint8_t { kMerge, kOurs, kTheirs };
enum class SaveLoser : uint8_t { kNone, kBeside, kRescue };

struct PolicyRule {
  Glob glob;
  std::string pattern;
  int line = 0;
  bool cancels = false;
  std::array<std::optional<uint8_t>, kPolicyKeyCount> values;  // of the enums above
  std::string merger;                                          // with both=merge:NAME
};

struct PolicyLayer {
  std::string name;  // the file's
  std::vector<PolicyRule> rules;
};

// What the rules say about one path. Rules are borrowed from the Policy.
class Decision {
 public:
  [[nodiscard]] OneSided one() const { return Get(PolicyKey::kOne, OneSided::kNormal); }
  [[nodiscard]] BothChanged both() const { return Get(PolicyKey::kBoth, BothChanged::kAuto); }
  [[nodiscard]] DeleteModify delete_modify() const {
    return Get(PolicyKey::kDelMod, DeleteModify::kKeepModified);
  }
  [[nodiscard]] TypeChange type() const { return Get(PolicyKey::kType, TypeChange::kFail); }
  [[nodiscard]] MetaMerge meta() const { return Get(PolicyKey::kMeta, MetaMerge::kMerge); }
  [[nodiscard]] SaveLoser save() const { return Get(PolicyKey::kSave, SaveLoser::kRescue); }
  // The severity a rule asks for; empty: whatever the action deserves.
  [[nodiscard]] std::optional<Severity> severity() const;
  [[nodiscard]] std::string_view merger() const;  // empty unless both() is kMerge

  // Whether any rule speaks of the path, if only to take back what others said.
  [[nodiscard]] bool matched() const { return matched_; }

  // "layer:line: pattern" of the rule that decided the key; empty when none did.
  [[nodiscard]] std::string Where(PolicyKey key) const;

 private:
  friend class Policy;
  struct Source {
    const PolicyRule* rule = nullptr;
    const PolicyLayer* layer = nullptr;
  };

  [[nodiscard]] const Source& At(PolicyKey key) const { return sources_[static_cast<size_t>(key)]; }
  template <class Value>
  [[nodiscard]] Value Get(PolicyKey key, Value otherwise) const {
    const PolicyRule* rule = At(key).rule;
    return rule == nullptr ? otherwise
                           : static_cast<Value>(*rule->values[static_cast<size_t>(key)]);
  }

  std::array<Source, kPolicyKeyCount> sources_;
  bool matched_ = false;
};

class Policy {
 public:
  // Later layers win over earlier ones.
  void Push(PolicyLayer layer) { layers_.push_back(std::move(layer)); }

  // The same rules for a volume that the guest mounts there: its paths begin at `mount_point`.
  [[nodiscard]] Policy MountedAt(std::string_view mount_point) const;

  // `path`: of the volume.
  [[nodiscard]] Decision Decide(std::string_view path, PathKind kind) const;

  // For people: one line a key that some rule decided, with the rule, or one line saying none does.
  [[nodiscard]] std::string Explain(std::string_view path, PathKind kind) const;

 private:
  std::vector<PolicyLayer> layers_;
  std::string mount_point_;  // empty: "/"
};

}  // namespace mica::rebase
