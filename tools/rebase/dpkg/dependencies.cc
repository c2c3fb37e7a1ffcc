// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/dpkg/dependencies.h"

#include <algorithm>
#include <optional>
#include <set>

#include "tools/rebase/dpkg/version.h"
#include "tools/rebase/mergers/records.h"

namespace mica::rebase {
namespace {

std::string Trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\n");
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t\n") - begin + 1));
}

// "name:arch (op version)"
struct Relation {
  std::string name;
  std::string op;  // empty: any version
  std::string version;
};

Relation ParseRelation(std::string_view text) {
  Relation relation;
  const size_t open = text.find('(');
  std::string name = Trim(text.substr(0, std::min(open, text.find('['))));
  relation.name = name.substr(0, name.find(':'));
  if (open == std::string_view::npos) return relation;
  const std::string inside = Trim(text.substr(open + 1, text.find(')', open) - open - 1));
  const size_t op_end = std::min(inside.find_first_not_of("<>="), inside.size());
  relation.op = inside.substr(0, op_end);
  relation.version = Trim(std::string_view(inside).substr(op_end));
  return relation;
}

// "<" and ">" are the old spelling of "<=" and ">=".
bool Satisfies(const std::string& version, const Relation& relation) {
  if (relation.op.empty()) return true;
  const auto order = CompareVersions(version, relation.version);
  if (relation.op == "<<") return order < 0;
  if (relation.op == "<=" || relation.op == "<") return order <= 0;
  if (relation.op == "=") return order == 0;
  if (relation.op == ">=" || relation.op == ">") return order >= 0;
  return order > 0;  // ">>"
}

struct Provider {
  std::string package;
  std::string version;  // empty: provided without a version
};

class Checker {
 public:
  explicit Checker(const std::vector<Package>& packages) : packages_(packages) {
    for (const Package& package : packages) {
      if (!package.unpacked()) continue;
      providers_.emplace(package.name, Provider{package.name, package.version});
      const auto provides = package.relations.find("Provides");
      if (provides == package.relations.end()) continue;
      for (const std::string& item : SplitText(provides->second, ",")) {
        const Relation relation = ParseRelation(item);
        providers_.emplace(relation.name, Provider{package.name, relation.version});
      }
    }
  }

  std::vector<BrokenRelation> Run() {
    for (const Package& package : packages_) {
      if (!package.unpacked()) continue;
      for (const auto& [field, value] : package.relations) {
        if (field == "Provides" || field == "Replaces") continue;
        for (const std::string& item : SplitText(value, ",")) Check(package, field, Trim(item));
      }
    }
    return {broken_.begin(), broken_.end()};
  }

 private:
  void Check(const Package& package, const std::string& field, const std::string& item) {
    if (item.empty()) return;
    const bool wanted = field == "Depends" || field == "Pre-Depends";
    bool holds = false;
    for (const std::string& alternative : SplitText(item, "|")) {
      holds = holds || Provided(ParseRelation(alternative), wanted ? "" : package.name);
    }
    if (holds != wanted) broken_.insert({package.name, field + ": " + item});
  }

  // `except`: a package does not conflict with itself.
  bool Provided(const Relation& relation, const std::string& except) {
    const auto [begin, end] = providers_.equal_range(relation.name);
    return std::any_of(begin, end, [&](const auto& item) {
      const Provider& provider = item.second;
      if (provider.package == except) return false;
      if (provider.version.empty()) return relation.op.empty();
      return Satisfies(provider.version, relation);
    });
  }

  const std::vector<Package>& packages_;
  std::multimap<std::string, Provider> providers_;
  std::set<BrokenRelation> broken_;
};

// Whether a field of the package speaks of that version of another one.
bool Names(const Package& package, std::string_view field, const std::string& name,
           const std::string& version) {
  const auto found = package.relations.find(field);
  if (found == package.relations.end()) return false;
  for (const std::string& item : SplitText(found->second, ",")) {
    const Relation relation = ParseRelation(item);
    if (relation.name == name && Satisfies(version, relation)) return true;
  }
  return false;
}

}  // namespace

bool TakesPlaceOf(const Package& successor, const std::string& name, const std::string& version) {
  return successor.name != name && Names(successor, "Replaces", name, version) &&
         (Names(successor, "Breaks", name, version) ||
          Names(successor, "Conflicts", name, version));
}

std::vector<BrokenRelation> FindBrokenRelations(const std::vector<Package>& packages) {
  return Checker(packages).Run();
}

}  // namespace mica::rebase
