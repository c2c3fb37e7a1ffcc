// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/id_map.h"

#include <charconv>
#include <optional>
#include <set>

#include "tools/rebase/mergers/records.h"

namespace mica::rebase {
namespace {

// The ranges of Debian policy 9.2.2: dynamically allocated system accounts.
constexpr uint32_t kSystemFirst = 100;
constexpr uint32_t kSystemEnd = 1000;

using Accounts = std::map<std::string, uint32_t>;  // name -> number

// Both files have the number in the third field.
Accounts Parse(std::string_view text) {
  Accounts accounts;
  for (const std::string& line : SplitText(text, "\n")) {
    const std::vector<std::string> fields = SplitText(line, ":");
    if (fields.size() < 4) continue;
    uint32_t id = 0;
    const char* end = fields[2].data() + fields[2].size();
    if (std::from_chars(fields[2].data(), end, id).ptr != end || fields[2].empty()) continue;
    accounts.emplace(fields[0], id);
  }
  return accounts;
}

Accounts NewIn(const Accounts& version, const Accounts& base) {
  Accounts fresh;
  for (const auto& [name, id] : version) {
    const auto at = base.find(name);
    if (at == base.end() || at->second != id) fresh.emplace(name, id);
  }
  return fresh;
}

class Renumbering {
 public:
  Renumbering(IdCollision::Kind kind, IdMapping& out) : kind_(kind), out_(out) {}

  // `preferred`: numbers to try first, by name, so that a user's own group gets the user's number.
  Accounts Run(const Accounts& base, const Accounts& ours, const Accounts& theirs,
               const Accounts& preferred) {
    for (const Accounts* version : {&base, &ours, &theirs}) {
      for (const auto& account : *version) taken_.insert(account.second);
    }
    std::map<uint32_t, std::string> their_numbers;
    const Accounts their_new = NewIn(theirs, base);
    for (const auto& [name, id] : their_new) their_numbers.emplace(id, name);
    Accounts renumbered;
    for (const auto& [name, id] : NewIn(ours, base)) {
      const auto same_name = their_new.find(name);
      if (same_name != their_new.end()) {
        if (same_name->second == id) continue;
        const bool system = id < kSystemEnd && same_name->second < kSystemEnd;
        Collide({kind_, name, name, id, system ? same_name->second : id});
        continue;
      }
      const auto same_number = their_numbers.find(id);
      if (same_number == their_numbers.end()) continue;
      const std::optional<uint32_t> free = id < kSystemEnd ? Free(name, preferred) : std::nullopt;
      if (free) renumbered.emplace(name, *free);
      Collide({kind_, name, same_number->second, id, free.value_or(id)});
    }
    return renumbered;
  }

 private:
  std::optional<uint32_t> Free(const std::string& name, const Accounts& preferred) {
    const auto wish = preferred.find(name);
    if (wish != preferred.end() && taken_.insert(wish->second).second) return wish->second;
    for (uint32_t id = kSystemEnd - 1; id >= kSystemFirst; --id) {
      if (taken_.insert(id).second) return id;
    }
    return std::nullopt;
  }

  void Collide(IdCollision collision) {
    if (collision.resolved()) {
      if (kind_ == IdCollision::Kind::kUser) {
        out_.map.MapUser(collision.id, collision.new_id);
      } else {
        out_.map.MapGroup(collision.id, collision.new_id);
      }
    }
    out_.collisions.push_back(std::move(collision));
  }

  IdCollision::Kind kind_;
  IdMapping& out_;
  std::set<uint32_t> taken_;
};

}  // namespace

IdMapping MapIds(const AccountTexts& base, const AccountTexts& ours, const AccountTexts& theirs) {
  IdMapping mapping;
  const Accounts renumbered =
      Renumbering(IdCollision::Kind::kUser, mapping)
          .Run(Parse(base.passwd), Parse(ours.passwd), Parse(theirs.passwd), {});
  Renumbering(IdCollision::Kind::kGroup, mapping)
      .Run(Parse(base.group), Parse(ours.group), Parse(theirs.group), renumbered);
  return mapping;
}

}  // namespace mica::rebase
