// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/conflict_report.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "engine/base/lines.h"
#include "engine/digest.h"
#include "tools/cli/read_pieces.h"
#include "tools/guest/text.h"
#include "tools/rebase/job/cache_file.h"
#include "tools/rebase/severity.h"
#include "tools/rebase_run/report_tail.h"

namespace mica {

namespace {

using Json = nlohmann::json;
using std::filesystem::path;

constexpr std::string_view kRescueSuffix = ".rescue";

std::string TextIn(const Json& json, const char* member) {
  if (!json.is_object() || !json.contains(member) || !json[member].is_string()) return {};
  return json[member].get<std::string>();
}

size_t RankOf(const ReportRecord& record) {
  const auto* const found = std::ranges::find(rebase::kSeverityNames, record.Text("severity"));
  return static_cast<size_t>(found - rebase::kSeverityNames.begin());
}

// The digest of all of the file, which is left at its beginning.
Result<std::string> DigestOf(int fd, const std::string& file) {
  StreamDigest digest;
  TRY(ReadPieces(fd, file, [&digest](std::string_view piece) -> Result<void> {
    digest.Update(AsBytes(piece));
    return {};
  }));
  if (::lseek(fd, 0, SEEK_SET) != 0) return ErrnoError(errno, "read " + file);
  return fmt::format("{:02x}", fmt::join(digest.Finish(), ""));
}

}  // namespace

std::string ReportRecord::Text(const char* member) const {
  return TextIn(json_, member);
}

std::string ReportRecord::Words(const char* member) const {
  std::string text;
  if (!json_.contains(member) || !json_[member].is_array()) return text;
  for (const Json& word : json_[member]) {
    if (!word.is_string()) continue;
    text += (text.empty() ? "" : ", ") + word.get<std::string>();
  }
  return text;
}

std::string ReportRecord::PathInVolume(const std::string& name) const {
  const std::string prefix = Text("mounted_at");
  if (prefix.empty() || !name.starts_with(prefix)) return name;
  return name == prefix ? "/" : name.substr(prefix.size());
}

std::vector<std::string> ReportRecord::Paths() const {
  std::vector<std::string> paths = {Text("path")};
  if (json_.contains("other_paths") && json_["other_paths"].is_array()) {
    for (const Json& other : json_["other_paths"]) {
      if (other.is_string()) paths.push_back(other.get<std::string>());
    }
  }
  if (json_.contains("path_escaped")) {
    std::ranges::transform(paths, paths.begin(), guest::UnescapeText);
  }
  return paths;
}

std::string ConflictReport::Fact(const char* name) const {
  return TextIn(summary_, name);
}

bool ReportRecord::IsConflict() const {
  return RankOf(*this) >= static_cast<size_t>(rebase::Severity::kWarn) || json_.contains("saved") ||
         json_.contains("saved_beside");
}

std::optional<uint64_t> ReportRecord::SavedBytes() const {
  const Json::json_pointer at("/saved_version/size");
  if (!json_.contains(at) || !json_[at].is_number_unsigned()) return std::nullopt;
  return json_[at].get<uint64_t>();
}

std::string ReportRecord::SavedText(const char* member) const {
  return json_.contains("saved_version") ? TextIn(json_["saved_version"], member) : std::string();
}

Result<ConflictReport> ConflictReport::Read(const path& file) {
  const std::optional<std::vector<char>> bytes = rebase::ReadCacheFile(file);
  if (!bytes) return ErrnoError(errno, fmt::format("{}: cannot be read", file.string()));
  std::string_view text(bytes->data(), bytes->size());
  ConflictReport report(file);
  report.summary_ = SummaryOfLine(text);
  if (!report.summary_.is_object() || !report.summary_.contains("verdict")) {
    return Error{
        Errc::kInvalidArgument,
        fmt::format("{}: expected the report of a rebase, which ends in a summary with its "
                    "verdict; found something else. It is what `mica rebase --report` "
                    "wrote, or VM.report.jsonl",
                    file.string())};
  }
  while (!text.empty()) {
    Json line = Json::parse(TakeLine(text), nullptr, false);
    if (line.is_object() && line.contains("action")) report.records_.emplace_back(std::move(line));
  }
  return report;
}

std::vector<const ReportRecord*> ConflictReport::Conflicts() const {
  std::vector<const ReportRecord*> conflicts;
  for (const ReportRecord& record : records_) {
    if (record.IsConflict()) conflicts.push_back(&record);
  }
  std::ranges::stable_sort(conflicts, std::greater(),
                           [](const ReportRecord* record) { return RankOf(*record); });
  return conflicts;
}

Result<const ReportRecord*> ConflictReport::Find(const std::string& name) const {
  const ReportRecord* found = nullptr;
  size_t saved = 0;
  for (const ReportRecord& record : records_) {
    const std::vector<std::string> paths = record.Paths();
    if (std::ranges::find(paths, name) == paths.end() && record.Text("path") != name) continue;
    const bool has_saved = record.json().contains("saved");
    if (found == nullptr || (has_saved && saved == 0)) found = &record;
    if (has_saved) ++saved;
  }
  if (found == nullptr) {
    return Error{Errc::kNotFound,
                 fmt::format("{}: expected a path that the report names, found none that is {}; "
                             "mica rebase --show-conflict {} lists the conflicts",
                             file_.string(), guest::DisplayText(name), file_.string())};
  }
  if (saved > 1) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: {} volumes saved a version of {}; mica rebase --show-conflict "
                             "{} tells the files",
                             file_.string(), saved, guest::DisplayText(name), file_.string())};
  }
  return found;
}

path ConflictReport::Locate(const std::string& name) const {
  std::error_code failed;
  if (std::filesystem::exists(name, failed)) return name;
  const path file(name);
  path beside = file_.parent_path();
  if (file.parent_path().string().ends_with(kRescueSuffix)) beside /= file.parent_path().filename();
  beside /= file.filename();
  return std::filesystem::exists(beside, failed) ? beside : file;
}

Result<UniqueFd> ConflictReport::OpenSaved(const ReportRecord& record) const {
  const path file = Locate(record.Text("saved"));
  // A report cannot make us show any other file of the host.
  if (!file.parent_path().string().ends_with(kRescueSuffix)) {
    return Error{Errc::kCorrupt,
                 fmt::format("{}: expected a saved version in a folder VM{}, found {}",
                             file_.string(), kRescueSuffix, file.string())};
  }
  UniqueFd fd(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) {
    return ErrnoError(errno, fmt::format("{}: expected the version of {} that was saved there",
                                         file.string(), record.Text("path")));
  }
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return ErrnoError(errno, file.string());
  if (!S_ISREG(status.st_mode)) {
    return Error{Errc::kCorrupt, fmt::format("{}: expected a file", file.string())};
  }
  ASSIGN(const std::string found, DigestOf(fd.get(), file.string()));
  const std::string expected = record.SavedText("digest");
  if (!expected.empty() && found != expected) {
    return Error{
        Errc::kCorrupt,
        fmt::format("{}: expected the {} bytes with the digest {} that the report speaks of, found "
                    "{} with {}; the file was changed after the rebase",
                    file.string(), record.SavedBytes().value_or(0), expected, status.st_size,
                    found)};
  }
  return fd;
}

}  // namespace mica
