// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/fleet/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace mica::rebase {

namespace {

using std::filesystem::path;

constexpr int kVersion = 1;
constexpr uint64_t kJournalBytesMax = uint64_t{1} << 30;

Result<void> SyncFolder(const path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd && ::fsync(fd.get()) == 0) return {};
  return ErrnoError(errno, "sync " + folder.string());
}

path ParentOf(const path& folder) {
  const path parent = folder.lexically_normal().parent_path();
  return parent.empty() ? path(".") : parent;
}

}  // namespace

Result<Journal> Journal::Open(const path& folder, const JobIdentity& identity) {
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return ErrnoError(errno, "create directory " + folder.string());
  }
  const path file = folder / "journal.jsonl";
  UniqueFd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!fd) return ErrnoError(errno, "open " + file.string());
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error{Errc::kBusy, fmt::format("{} is locked: another process is running this job; "
                                          "wait for it, or choose another folder with --job",
                                          file.string())};
  }
  TRY(SyncFolder(folder));
  TRY(SyncFolder(ParentOf(folder)));
  Journal journal(file, std::move(fd));
  TRY(journal.Load(identity));
  return journal;
}

Error Journal::Bad(size_t line) const {
  return {
      Errc::kCorrupt,
      fmt::format("{}:{}: expected a line of a job's journal, found something else; look at it, "
                  "or move the folder away to begin the job anew (VMs that are switched are "
                  "recognised)",
                  file_.string(), line)};
}

Result<void> Journal::Load(const JobIdentity& identity) {
  struct stat found{};
  if (::fstat(fd_.get(), &found) != 0) return ErrnoError(errno, "stat " + file_.string());
  if (static_cast<uint64_t>(found.st_size) > kJournalBytesMax) return Bad(1);
  std::string text(static_cast<size_t>(found.st_size), '\0');
  for (size_t done = 0; done < text.size();) {
    const ssize_t got =
        ::pread(fd_.get(), text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return ErrnoError(got == 0 ? EIO : errno, "read " + file_.string());
    done += static_cast<size_t>(got);
  }
  // The end of a line that was being written when the machine stopped is missing.
  const size_t whole = text.rfind('\n') + 1;  // 0 when there is none
  if (whole != text.size() && ::ftruncate(fd_.get(), static_cast<off_t>(whole)) != 0) {
    return ErrnoError(errno, "truncate " + file_.string());
  }
  TRY(LoadLines(std::string_view(text).substr(0, whole), identity));
  if (whole != 0) return {};
  return Append(
      {{"journal", kVersion}, {"onto", identity.onto}, {"onto_identity", identity.onto_identity}});
}

Result<void> Journal::LoadLines(std::string_view text, const JobIdentity& identity) {
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    const nlohmann::json line = nlohmann::json::parse(text.substr(0, end), nullptr, false);
    text.remove_prefix(end + 1);
    if (number == 1) {
      TRY(LoadHead(line, identity));
      continue;
    }
    std::optional<VmRow> row = RowFromJson(line);
    if (!row) return Bad(number);
    const size_t index = IndexOf(row->vm);
    rows_[index] = std::move(*row);
  }
  return {};
}

Result<void> Journal::LoadHead(const nlohmann::json& line, const JobIdentity& identity) const {
  if (!line.is_object() || line.value("journal", nlohmann::json()) != kVersion) return Bad(1);
  if (line.value("onto_identity", nlohmann::json()) == identity.onto_identity) return {};
  return Error{
      Errc::kMismatch,
      fmt::format("{} is of a job onto {} with another identity than {} has now; choose "
                  "another folder with --job",
                  file_.string(), line.value("onto", nlohmann::json("?")).dump(), identity.onto)};
}

size_t Journal::IndexOf(const std::string& vm) {
  const auto [at, added] = index_.emplace(vm, rows_.size());
  if (added) {
    rows_.emplace_back();
    rows_.back().vm = vm;
  }
  return at->second;
}

Result<void> Journal::Put(size_t index, VmRow row) {
  TRY(Append(ToJson(row)));
  rows_[index] = std::move(row);
  return {};
}

Result<void> Journal::Append(const nlohmann::json& line) {
  std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  std::string_view left = text;
  while (!left.empty()) {
    const ssize_t count = ::write(fd_.get(), left.data(), left.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoError(errno, "write " + file_.string());
    left.remove_prefix(static_cast<size_t>(count));
  }
  if (::fdatasync(fd_.get()) != 0) return ErrnoError(errno, "sync " + file_.string());
  return {};
}

}  // namespace mica::rebase
