// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/fleet_options.h"

#include <fmt/format.h>
#include <glob.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>

namespace mica {

namespace {

using std::filesystem::path;

constexpr size_t kVmsMax = 1'000'000;

class GlobMatches {
 public:
  explicit GlobMatches(const std::string& pattern)
      : failed_(::glob(pattern.c_str(), 0, nullptr, &found_) != 0) {}
  GlobMatches(const GlobMatches&) = delete;
  GlobMatches& operator=(const GlobMatches&) = delete;
  ~GlobMatches() { ::globfree(&found_); }

  [[nodiscard]] std::vector<std::string> paths() const {
    if (failed_) return {};
    return {found_.gl_pathv, found_.gl_pathv + found_.gl_pathc};
  }

 private:
  glob_t found_{};
  bool failed_;
};

// Beside a VM lie files of ours that a pattern like "*" catches as well.
bool IsOurs(const std::string& name) {
  for (const char* const part : {".before-", ".undone-", ".rebasing", ".quarantine", ".rescue",
                                 ".report.jsonl", ".seal", ".index", ".changes"}) {
    if (path(name).filename().string().find(part) != std::string::npos) return true;
  }
  return false;
}

class VmList {
 public:
  Result<void> Add(const std::string& name, const path& folder) {
    const std::string full = (path(name).is_absolute() ? path(name) : folder / name).string();
    std::error_code failed;
    if (!IsPattern(full) || std::filesystem::exists(full, failed)) return AddOne(full);
    size_t found = 0;
    for (const std::string& match : GlobMatches(full).paths()) {
      if (IsOurs(match) || !std::filesystem::is_regular_file(match, failed)) continue;
      ++found;
      TRY(AddOne(match));
    }
    if (found > 0) return {};
    return Error{Errc::kNotFound,
                 fmt::format("{}: expected VMs, found nothing that matches", name)};
  }

  std::vector<std::string> Take() { return std::move(vms_); }

 private:
  Result<void> AddOne(const std::string& name) {
    std::error_code failed;
    path known = std::filesystem::canonical(name, failed);
    if (failed) known = std::filesystem::absolute(name, failed).lexically_normal();
    if (!seen_.insert(known).second) return {};
    if (vms_.size() == kVmsMax) {
      return Error{Errc::kLimit, fmt::format("expected at most {} VMs", kVmsMax)};
    }
    vms_.push_back(known.string());
    return {};
  }

  std::vector<std::string> vms_;
  std::set<path> seen_;
};

// "5" or "5%" of `all`.
Result<std::optional<size_t>> HaltAfter(const std::string& text, size_t all) {
  if (text.empty()) return std::nullopt;
  size_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, failed] = std::from_chars(text.data(), end, number);
  const bool percent = rest + 1 == end && *rest == '%';
  if (failed != std::errc() || (rest != end && !percent) || (percent && number > 100)) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("--halt-after: expected a number of VMs or a percentage such as 5%, "
                             "found '{}'",
                             text)};
  }
  return percent ? all * number / 100 : number;
}

}  // namespace

bool IsPattern(const std::string& name) {
  return name.find_first_of("*?[") != std::string::npos;
}

void AddFleetOptions(CLI::App& command, FleetOptions& options) {
  constexpr const char* kGroup = "Many VMs";
  const auto add = [&command, kGroup](const std::string& name, auto& value, const std::string& what,
                                      const std::string& type) {
    command.add_option(name, value, what)->type_name(type)->group(kGroup);
  };
  command.add_option("-j", options.workers, "VMs at a time; 1 by default")
      ->type_name("N")
      ->check(CLI::Range(1, 1024))
      ->group(kGroup);
  add("--pool", options.pool, "VMs, a path or pattern a line", "FILE");
  add("--job", options.job, "Folder of the journal and the report; MASTER.job by default",
      "FOLDER");
  add("--canary", options.canaries, "So many VMs go first; one that ends badly stops the job", "N");
  add("--wave", options.wave, "VMs a wave; the next one starts when all have ended", "N");
  add("--waves", options.waves, "Leave after so many waves", "N");
  add("--min-ready", options.min_ready, "So many VMs stay out of each wave", "N");
  add("--retries", options.retries, "Of a VM that failed; 1 by default", "N");
  add("--halt-after", options.halt_after, "Stop when more VMs than that ended badly", "N|P%");
  command
      .add_flag("--halt-on-conflicts", options.halt_on_conflicts,
                "Conflicts whose losers were saved count as a bad end")
      ->group(kGroup);
  command
      .add_flag("--retry", options.retry_bad,
                "Also VMs that failed, are blocked or in quarantine, or were rolled back")
      ->group(kGroup);
  command
      .add_option("--keep-days", options.keep_days,
                  "In the end remove what rebases of these VMs kept at least so long ago")
      ->type_name("DAYS")
      ->check(CLI::Range(1, 36500))
      ->group(kGroup);
  command.add_option("VM", options.vms, "Deltas of VMs, or patterns");
}

bool IsFleet(const FleetOptions& options) {
  return options.vms.size() != 1 || !options.pool.empty() || !options.job.empty() ||
         options.workers || IsPattern(options.vms.front());
}

Result<std::vector<std::string>> ExpandVms(const std::vector<std::string>& vms,
                                           const std::string& pool) {
  VmList list;
  for (const std::string& vm : vms) TRY(list.Add(vm, std::filesystem::current_path()));
  if (pool.empty()) return list.Take();
  std::ifstream file(pool);
  if (!file) return ErrnoError(errno, fmt::format("{}: cannot be read as a pool file", pool));
  const path folder = std::filesystem::absolute(pool).parent_path();
  for (std::string line; std::getline(file, line);) {
    while (!line.empty() && (line.back() == ' ' || line.back() == '\r' || line.back() == '\t')) {
      line.pop_back();
    }
    if (line.empty() || line.starts_with('#')) continue;
    TRY(list.Add(line, folder));
  }
  return list.Take();
}

Result<FleetRequest> MakeFleetRequest(const FleetOptions& options, const RebaseRequest& each) {
  FleetRequest request;
  request.each = each;
  request.each.onto = std::filesystem::absolute(each.onto).lexically_normal();
  ASSIGN(request.vms, ExpandVms(options.vms, options.pool));
  const size_t all = request.vms.size();
  if (all == 0) return Error{Errc::kInvalidArgument, "expected VMs or --pool FILE"};
  if (options.min_ready >= all && options.min_ready != 0) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("--min-ready: expected less than the {} VMs there are, found {}", all,
                             options.min_ready)};
  }
  request.job = options.job.empty() ? request.each.onto + ".job" : options.job;
  request.workers = options.workers.value_or(1);
  request.retry_bad = options.retry_bad;
  if (options.keep_days) request.keep = std::chrono::days(*options.keep_days);
  request.schedule.canaries = options.canaries;
  request.schedule.wave = options.wave;
  if (options.min_ready != 0) {
    const size_t most = all - options.min_ready;
    request.schedule.wave = options.wave == 0 ? most : std::min(options.wave, most);
  }
  request.schedule.waves_max = options.waves;
  request.schedule.retries = options.retries;
  request.schedule.halt_level =
      options.halt_on_conflicts ? rebase::HaltLevel::kConflicts : rebase::HaltLevel::kErrors;
  ASSIGN(request.schedule.halt_after, HaltAfter(options.halt_after, all));
  return request;
}

}  // namespace mica
