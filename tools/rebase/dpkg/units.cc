// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/dpkg/units.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "tools/rebase/dpkg/dependencies.h"
#include "tools/rebase/dpkg/path_resolver.h"
#include "tools/rebase/dpkg/version.h"
#include "tools/rebase/mergers/records.h"

namespace mica::rebase {
namespace {

constexpr std::string_view kStatusPath = "/var/lib/dpkg/status";
constexpr std::string_view kInfoPath = "/var/lib/dpkg/info";
constexpr size_t kMd5Length = 32;  // hex digits
constexpr size_t kOurs = 1;        // in arrays of the three versions
constexpr size_t kTheirs = 2;
constexpr uint64_t kDatabaseSizeMax = uint64_t{256} << 20;

Result<std::string> ReadIfThere(guest::Volume& volume, std::string_view path) {
  ASSIGN(const auto inode, guest::LookupPath(volume, path));
  if (!inode) return std::string();
  ASSIGN(const guest::Object object, volume.Stat(*inode));
  if (object.kind != guest::ObjectKind::kRegular) return std::string();
  return guest::ReadWhole(volume, *inode, kDatabaseSizeMax);
}

Result<std::vector<Package>> ReadPackages(guest::Volume& volume) {
  ASSIGN(const std::string text, ReadIfThere(volume, kStatusPath));
  std::vector<Package> packages = ParsePackages(text);
  std::erase_if(packages, [](const Package& package) { return !package.unpacked(); });
  return packages;
}

// By name, or by name and architecture where one version has several of the name: a package that
// became architecture-independent is still the same package.
using Packages = std::map<std::string, Package>;

std::array<Packages, 3> ByKey(std::array<std::vector<Package>, 3> versions) {
  std::set<std::string> many;
  for (const auto& packages : versions) {
    std::set<std::string> seen;
    for (const Package& package : packages) {
      if (!seen.insert(package.name).second) many.insert(package.name);
    }
  }
  std::array<Packages, 3> by_key;
  for (size_t i = 0; i < versions.size(); ++i) {
    for (Package& package : versions[i]) {
      std::string key = many.contains(package.name) ? package.key() : package.name;
      by_key[i].emplace(std::move(key), std::move(package));
    }
  }
  return by_key;
}

const Package* Find(const Packages& packages, const std::string& key) {
  const auto at = packages.find(key);
  return at == packages.end() ? nullptr : &at->second;
}

std::string SuccessorOf(const PackageUnit& unit, const std::array<Packages, 3>& packages) {
  if (unit.our_version.empty() == unit.their_version.empty()) return {};
  const bool by_ours = unit.our_version.empty();
  const std::string& version = by_ours ? unit.their_version : unit.our_version;
  for (const auto& [key, package] : packages[by_ours ? kOurs : kTheirs]) {
    if (TakesPlaceOf(package, unit.name, version)) return package.name;
  }
  return {};
}

// A removal against another version: keep the package (as for any file), unless the policy says
// delete or the side that removed it has it replaced: it cannot be installed beside its successor.
Side SideOfRemoved(const PackageUnit& unit, const Policy& policy) {
  if (!unit.successor.empty()) return unit.our_version.empty() ? Side::kOurs : Side::kTheirs;
  const std::string path = std::string(kInfoPath) + "/" + unit.name + ".list";
  const Decision decision = policy.Decide(path, PathKind::kOther);
  const Side changed = unit.our_version.empty() ? Side::kTheirs : Side::kOurs;
  return decision.delete_modify() == DeleteModify::kDelete ? Other(changed) : changed;
}

Side ChooseSide(const PackageUnit& unit, const Policy& policy) {
  const bool ours_changed = unit.our_version != unit.base_version;
  const bool theirs_changed = unit.their_version != unit.base_version;
  if (!ours_changed) return Side::kTheirs;
  if (!theirs_changed) return Side::kOurs;
  if (unit.our_version.empty() != unit.their_version.empty()) return SideOfRemoved(unit, policy);
  return CompareVersions(unit.our_version, unit.their_version) > 0 ? Side::kOurs : Side::kTheirs;
}

class Builder {
 public:
  Builder(const PackageTrees& trees, const Policy& policy)
      : volumes_{&trees.base, &trees.ours, &trees.theirs},
        resolvers_{PathResolver(trees.base), PathResolver(trees.ours), PathResolver(trees.theirs)},
        policy_(policy) {}

  Result<PackageUnits> Run() {
    std::array<std::vector<Package>, 3> versions;
    for (size_t i = 0; i < volumes_.size(); ++i) {
      ASSIGN(versions[i], ReadPackages(*volumes_[i]));
    }
    packages_ = ByKey(std::move(versions));
    std::set<std::string> keys;
    for (const Packages& packages : packages_) {
      for (const auto& item : packages) keys.insert(item.first);
    }
    for (const std::string& key : keys) TRY(AddUnit(key));
    return std::move(out_);
  }

 private:
  Result<void> AddUnit(const std::string& key) {
    PackageUnit unit;
    std::array<std::string*, 3> versions = {&unit.base_version, &unit.our_version,
                                            &unit.their_version};
    for (size_t i = 0; i < packages_.size(); ++i) {
      const Package* package = Find(packages_[i], key);
      if (package == nullptr) continue;
      unit.name = package->name;
      unit.architecture = key == package->name ? "" : package->architecture;
      *versions[i] = package->version;
    }
    const bool ours_changed = unit.our_version != unit.base_version;
    const bool theirs_changed = unit.their_version != unit.base_version;
    if (!ours_changed && !theirs_changed) return {};
    unit.successor = SuccessorOf(unit, packages_);
    unit.side = ChooseSide(unit, policy_);
    unit.contested = ours_changed && theirs_changed && unit.our_version != unit.their_version;
    TRY(AddPaths(key, unit));
    out_.units.push_back(std::move(unit));
    return {};
  }

  Result<void> AddPaths(const std::string& key, const PackageUnit& unit) {
    std::set<std::string> conffiles;
    for (const Packages& packages : packages_) {
      const Package* package = Find(packages, key);
      if (package == nullptr) continue;
      conffiles.insert(package->conffiles.begin(), package->conffiles.end());
    }
    const ForcedSide forced = {
        unit.side,
        unit.contested ? ForcedSide::Strength::kAlways : ForcedSide::Strength::kInConflict,
        unit.name};
    for (size_t i = 0; i < packages_.size(); ++i) {
      const Package* package = Find(packages_[i], key);
      if (package == nullptr) continue;
      TRY(AddList(i, *package, conffiles, forced));
      TRY(AddRecords(i, *package, forced));
    }
    const Package* ours = Find(packages_[kOurs], key);
    if (!unit.contested || unit.side == Side::kOurs || ours == nullptr) return {};
    return AddOurDigests(*ours);
  }

  // Lines of "MD5  path without the first slash".
  Result<void> AddOurDigests(const Package& package) {
    ASSIGN(const std::string sums, ReadRecord(kOurs, package, ".md5sums"));
    for (const std::string& line : SplitText(sums, "\n")) {
      if (line.size() <= kMd5Length + 2) continue;
      ASSIGN(const std::string path, resolvers_[kOurs].Resolve(line.substr(kMd5Length + 2)));
      out_.our_digests.emplace(path, line.substr(0, kMd5Length));
    }
    return {};
  }

  Result<std::string> ReadRecord(size_t version, const Package& package, const char* extension) {
    for (const std::string& name : {package.name, package.key()}) {
      ASSIGN(std::string text,
             ReadIfThere(*volumes_[version], std::string(kInfoPath) + "/" + name + extension));
      if (!text.empty()) return text;
    }
    return std::string();
  }

  Result<void> AddList(size_t version, const Package& package,
                       const std::set<std::string>& conffiles, const ForcedSide& forced) {
    ASSIGN(const std::string list, ReadRecord(version, package, ".list"));
    for (const std::string& path : SplitText(list, "\n")) {
      if (path.empty() || path == "/." || conffiles.contains(path)) continue;
      ASSIGN(const std::string resolved, resolvers_[version].Resolve(path));
      out_.paths.Set(resolved, forced);
    }
    return {};
  }

  // The package's own files in /var/lib/dpkg/info: NAME.EXT or NAME:ARCH.EXT, EXT without a dot.
  Result<void> AddRecords(size_t version, const Package& package, const ForcedSide& forced) {
    ASSIGN(const std::vector<std::string>* names, InfoNames(version));
    for (const std::string& prefix : {package.name + ".", package.key() + "."}) {
      for (auto at = std::ranges::lower_bound(*names, prefix);
           at != names->end() && at->starts_with(prefix); ++at) {
        if (at->find('.', prefix.size()) != std::string::npos) continue;
        out_.paths.Set(std::string(kInfoPath) + "/" + *at, forced);
      }
    }
    return {};
  }

  Result<const std::vector<std::string>*> InfoNames(size_t version) {
    std::vector<std::string>& names = info_names_[version];
    if (!info_read_[version]) {
      info_read_[version] = true;
      ASSIGN(const auto inode, guest::LookupPath(*volumes_[version], kInfoPath));
      if (inode) {
        ASSIGN(const auto entries, volumes_[version]->List(*inode));
        for (const guest::DirectoryEntry& entry : entries) names.push_back(entry.name);
        std::ranges::sort(names);
      }
    }
    return &names;
  }

  std::array<guest::Volume*, 3> volumes_;
  std::array<PathResolver, 3> resolvers_;
  std::array<Packages, 3> packages_;
  std::array<std::vector<std::string>, 3> info_names_;
  std::array<bool, 3> info_read_ = {};
  const Policy& policy_;
  PackageUnits out_;
};

}  // namespace

std::optional<Side> PackageUnits::SideOf(std::string_view name,
                                         std::string_view architecture) const {
  for (const PackageUnit& unit : units) {
    if (!unit.contested || unit.name != name) continue;
    if (unit.architecture.empty() || unit.architecture == architecture) return unit.side;
  }
  return std::nullopt;
}

Result<PackageUnits> FindPackageUnits(const PackageTrees& trees, const Policy& policy) {
  return Builder(trees, policy).Run();
}

}  // namespace mica::rebase
