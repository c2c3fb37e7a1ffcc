// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/generations.h"

#include <fmt/format.h>

#include <string_view>

#include "formats/parent_path.h"

namespace mica::rebase {

namespace {

using std::filesystem::path;

path Numbered(const path& vm, std::string_view what, uint32_t number) {
  path name = vm;
  name += fmt::format(".{}-{}", what, number);
  return name;
}

Async<bool> Exists(Host& host, path name) {
  const Result<FileStat> stat = co_await host.Stat(name);
  if (stat) co_return true;
  if (stat.error().code == Errc::kNotFound) co_return false;
  co_return stat.error();
}

// Whether both are names of one file: what an exchange leaves that was interrupted half-way.
Async<bool> SameFile(Host& host, path one, path other) {
  const Result<FileStat> a = co_await host.Stat(one);
  const Result<FileStat> b = co_await host.Stat(other);
  const bool same = a && b && a->id == b->id;
  co_return same;
}

// The highest number in use, 0 when there is none. Lower ones may have been deleted. A second name
// of `vm` itself is not in use.
Async<uint32_t> Highest(Host& host, path vm, std::string_view what) {
  uint32_t highest = 0;
  for (uint32_t number = 1; number <= kGenerationsMax; ++number) {
    const path name = Numbered(vm, what, number);
    CO_ASSIGN(const bool exists, co_await Exists(host, name));
    if (!exists) continue;
    CO_ASSIGN(const bool same, co_await SameFile(host, vm, name));
    if (!same) highest = number;
  }
  co_return highest;
}

Async<uint32_t> NextNumber(Host& host, path vm, std::string_view what) {
  CO_ASSIGN(const uint32_t highest, co_await Highest(host, vm, what));
  if (highest == kGenerationsMax) {
    co_return Error{Errc::kLimit,
                    fmt::format("{} is taken, the last of {} kept generations; delete or rename it",
                                Numbered(vm, what, highest).string(), kGenerationsMax)};
  }
  co_return highest + 1;
}

Async<path> NextName(Host& host, path vm, std::string_view what) {
  CO_ASSIGN(const uint32_t number, co_await NextNumber(host, vm, what));
  co_return Numbered(vm, what, number);
}

// Makes `incoming` the file `vm` and keeps what `vm` was as `kept`. The second name is durable
// before the first changes its meaning, so that a power cut leaves the old delta under both names,
// or the new one under `vm` and the old one under `kept`.
Async<void> Exchange(Host& host, path vm, path incoming, path kept) {
  const path directory = DirectoryOf(vm);
  CO_ASSIGN(const bool linked, co_await SameFile(host, vm, kept));
  if (!linked) CO_TRY(co_await host.Link(vm, kept));
  CO_TRY(co_await host.SyncDirectory(directory));
  Result<void> renamed = co_await host.Rename(incoming, vm);
  if (!renamed) {
    Result<void> removed = co_await host.Remove(kept);
    static_cast<void>(
        removed);  // the rename's error is the one to report; both names are the old delta
    co_return renamed;
  }
  co_return co_await host.SyncDirectory(directory);
}

}  // namespace

Async<path> NextBackup(Host& host, path vm) {
  co_return co_await NextName(host, vm, "before");
}

Async<path> SwitchTo(Host& host, path vm, path prepared) {
  CO_ASSIGN(const path kept, co_await NextBackup(host, vm));
  CO_TRY(co_await Exchange(host, vm, prepared, kept));
  co_return kept;
}

Async<std::vector<path>> KeptDeltas(Host& host, path vm) {
  std::vector<path> kept;
  for (const std::string_view what : {std::string_view("undone"), std::string_view("before")}) {
    for (uint32_t number = 1; number <= kGenerationsMax; ++number) {
      path name = Numbered(vm, what, number);
      CO_ASSIGN(const bool exists, co_await Exists(host, name));
      if (exists) kept.push_back(std::move(name));
    }
  }
  co_return kept;
}

Async<uint32_t> LastStagedNumber(Host& host, path vm) {
  return Highest(host, std::move(vm), "staged");
}

Async<uint32_t> NextStagedNumber(Host& host, path vm) {
  return NextNumber(host, std::move(vm), "staged");
}

path StagedName(const path& vm, uint32_t number) {
  return Numbered(vm, "staged", number);
}

Async<void> DropKept(Host& host, path kept) {
  CO_TRY(co_await host.Remove(kept));
  co_return co_await host.SyncDirectory(DirectoryOf(kept));
}

Async<path> LastBackup(Host& host, path vm) {
  CO_ASSIGN(const uint32_t highest, co_await Highest(host, vm, "before"));
  if (highest == 0) {
    co_return Error{Errc::kNotFound,
                    fmt::format("{} has no rebase to undo: expected the delta it replaced under a "
                                "name like {}, found none",
                                vm.string(), Numbered(vm, "before", 1).string())};
  }
  co_return Numbered(vm, "before", highest);
}

Async<RolledBack> RollBack(Host& host, path vm) {
  RolledBack result;
  CO_ASSIGN(result.restored_from, co_await LastBackup(host, vm));
  CO_ASSIGN(result.undone, co_await NextName(host, vm, "undone"));
  CO_TRY(co_await Exchange(host, vm, result.restored_from, result.undone));
  co_return result;
}

}  // namespace mica::rebase
