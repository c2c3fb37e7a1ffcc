// SPDX-License-Identifier: Apache-2.0
// The journal of a fleet job: which VM is how far, durably. A file of JSON lines: the job first,
// then a line whenever a VM's row changes; the last one of a VM counts. A line that a crash has cut
// short is dropped. Locked: one process runs a job.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "tools/rebase/fleet/vm_row.h"

namespace mica::rebase {

// What a journal belongs to: another master is another job.
struct JobIdentity {
  std::string onto;           // path
  std::string onto_identity;  // of the sealed master, as IdentityText has it
};

class Journal {
 public:
  // Creates it in the folder, which is made when needed, or reads what is there. kBusy when another
  // process has it, kMismatch for another job's, kCorrupt for lines that nobody wrote.
  static Result<Journal> Open(const std::filesystem::path& folder, const JobIdentity& identity);

  [[nodiscard]] const std::vector<VmRow>& rows() const noexcept { return rows_; }
  // The row of `vm`, made (kPending, not yet written) when there is none. The index is stable.
  size_t IndexOf(const std::string& vm);
  // Changes a row and makes that durable before it returns.
  Result<void> Put(size_t index, VmRow row);

 private:
  Journal(std::filesystem::path file, UniqueFd fd) : file_(std::move(file)), fd_(std::move(fd)) {}

  Result<void> Load(const JobIdentity& identity);
  Result<void> LoadLines(std::string_view text, const JobIdentity& identity);
  Result<void> LoadHead(const nlohmann::json& line, const JobIdentity& identity) const;
  Result<void> Append(const nlohmann::json& line);
  [[nodiscard]] Error Bad(size_t line) const;

  std::filesystem::path file_;
  UniqueFd fd_;
  std::vector<VmRow> rows_;
  std::map<std::string, size_t> index_;
};

}  // namespace mica::rebase
