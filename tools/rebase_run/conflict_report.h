// SPDX-License-Identifier: Apache-2.0
// The records of a rebase report, read back, and the files they speak of found again. What a report
// says was written by a process that had read the guest, so it is looked at before it is believed.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace mica {

// One record of a report (docs/rebase.md).
class ReportRecord {
 public:
  explicit ReportRecord(nlohmann::json json) : json_(std::move(json)) {}

  [[nodiscard]] const nlohmann::json& json() const noexcept { return json_; }
  [[nodiscard]] std::string Text(const char* member) const;   // empty when there is none
  [[nodiscard]] std::string Words(const char* member) const;  // "content, names"
  // All names of the object as bytes, its path first.
  [[nodiscard]] std::vector<std::string> Paths() const;
  // The volume that has it, as it stands behind an image's name; empty for the whole disk.
  [[nodiscard]] std::string Volume() const { return Text("volume"); }
  // One of Paths() as that volume has it.
  [[nodiscard]] std::string PathInVolume(const std::string& name) const;
  // Whether a person should look at it, or something was put away for them.
  [[nodiscard]] bool IsConflict() const;
  // Of the saved version; empty when the report does not tell.
  [[nodiscard]] std::optional<uint64_t> SavedBytes() const;
  [[nodiscard]] std::string SavedText(const char* member) const;

 private:
  nlohmann::json json_;
};

class ConflictReport {
 public:
  // kInvalidArgument when the file is no report of a rebase.
  static Result<ConflictReport> Read(const std::filesystem::path& file);

  [[nodiscard]] const nlohmann::json& summary() const noexcept { return summary_; }
  // A member of the summary that is text; empty when there is none.
  [[nodiscard]] std::string Fact(const char* name) const;
  // The worst first.
  [[nodiscard]] std::vector<const ReportRecord*> Conflicts() const;
  // The record of `path`, given as it is or as reports write it; one with a saved version before
  // others. kNotFound; kInvalidArgument when several volumes saved one.
  [[nodiscard]] Result<const ReportRecord*> Find(const std::string& path) const;

  // Where a file that the report names is now: under that name or, when everything has been moved
  // together, as seen from beside the report.
  [[nodiscard]] std::filesystem::path Locate(const std::string& name) const;
  // The saved version of a record, open, at its beginning and as it was saved. kNotFound, kCorrupt.
  [[nodiscard]] Result<UniqueFd> OpenSaved(const ReportRecord& record) const;

 private:
  explicit ConflictReport(std::filesystem::path file) : file_(std::move(file)) {}

  std::filesystem::path file_;
  std::vector<ReportRecord> records_;
  nlohmann::json summary_;
};

}  // namespace mica
