// SPDX-License-Identifier: Apache-2.0
// New numbers for users and groups of ours: both sides may have given the same system id (< 1000)
// to different accounts. The new master's accounts keep theirs; ours are renumbered wherever ours
// carries them: owners, ACLs and the account databases.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mica::rebase {

class IdMap {
 public:
  [[nodiscard]] bool empty() const { return users_.empty() && groups_.empty(); }
  [[nodiscard]] uint32_t User(uint32_t id) const { return Find(users_, id); }
  [[nodiscard]] uint32_t Group(uint32_t id) const { return Find(groups_, id); }
  void MapUser(uint32_t from, uint32_t to) { users_[from] = to; }
  void MapGroup(uint32_t from, uint32_t to) { groups_[from] = to; }

 private:
  using Numbers = std::map<uint32_t, uint32_t>;
  static uint32_t Find(const Numbers& numbers, uint32_t id) {
    const auto at = numbers.find(id);
    return at == numbers.end() ? id : at->second;
  }
  Numbers users_;
  Numbers groups_;
};

// The texts of /etc/passwd and /etc/group of one version.
struct AccountTexts {
  std::string passwd;
  std::string group;
};

struct IdCollision {
  enum class Kind : uint8_t { kUser, kGroup };
  Kind kind = Kind::kUser;
  std::string name;     // of ours
  std::string against;  // the account of theirs; the same name when only the numbers differ
  uint32_t id = 0;      // of ours
  uint32_t new_id = 0;  // what ours gets; == id when it cannot be renumbered
  [[nodiscard]] bool resolved() const { return new_id != id; }
};

struct IdMapping {
  IdMap map;
  std::vector<IdCollision>
      collisions;  // those not resolved are errors: ids >= 1000, or none is free
};

IdMapping MapIds(const AccountTexts& base, const AccountTexts& ours, const AccountTexts& theirs);

}  // namespace mica::rebase
