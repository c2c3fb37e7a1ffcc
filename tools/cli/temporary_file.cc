// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/temporary_file.h"

#include <fmt/core.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <random>

#include "formats/parent_path.h"

namespace mica {

namespace {

// What the signal handler removes. Plain memory, because a handler may call next to nothing: a slot
// is written first and then marked as used.
struct Slot {
  std::atomic<bool> used{false};
  std::array<char, 4096> path{};
};
std::array<Slot, 64> g_slots;  // more files at a time than any verb makes

void RemoveAndDie(int signal) {
  for (Slot& slot : g_slots) {
    if (slot.used.load(std::memory_order_acquire)) ::unlink(slot.path.data());
  }
  // Installed with SA_RESETHAND: this time the signal ends the process, with its own status.
  ::raise(signal);
}

void Remember(const std::filesystem::path& path) {
  const std::string& text = path.native();
  for (Slot& slot : g_slots) {
    if (slot.used.load(std::memory_order_relaxed) || text.size() >= slot.path.size()) continue;
    std::memcpy(slot.path.data(), text.c_str(), text.size() + 1);
    slot.used.store(true, std::memory_order_release);
    return;
  }
}

void Forget(const std::filesystem::path& path) {
  for (Slot& slot : g_slots) {
    if (slot.used.load(std::memory_order_relaxed) && path.native() == slot.path.data()) {
      slot.used.store(false, std::memory_order_release);
    }
  }
}

std::filesystem::path TemporaryName(const std::filesystem::path& destination) {
  constexpr size_t kStemMax = 200;  // leaves room in the 255 bytes of a name
  std::random_device random;
  const std::string name = destination.filename().native().substr(0, kStemMax);
  // Absolute, so that the handler finds it whatever becomes of the working directory.
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::absolute(destination, failed);
  const std::filesystem::path directory = DirectoryOf(failed ? destination : absolute);
  return directory / fmt::format(".{}.{:08x}{:08x}.tmp", name, random(), random());
}

}  // namespace

void RemoveTemporaryFilesOnSignal() {
  struct sigaction action{};
  action.sa_handler = RemoveAndDie;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before{};
    ::sigaction(signal, nullptr, &before);
    if (before.sa_handler == SIG_DFL) ::sigaction(signal, &action, nullptr);  // nohup stays
  }
}

Async<void> CheckDestination(Host& host, std::filesystem::path path, OnExisting on_existing) {
  Result<FileStat> stat = co_await host.Stat(path);
  if (!stat && stat.error().code == Errc::kNotFound) co_return Result<void>();
  if (!stat) co_return stat.error();
  if (stat->is_block_device) {
    co_return Error{Errc::kUnsupported,
                    fmt::format("{}: expected a file name, found a block device; try to write a "
                                "file and copy it there",
                                path.native())};
  }
  if (on_existing == OnExisting::kRefuse) {
    co_return Error{
        Errc::kExists,
        fmt::format(
            "{}: expected no file of that name, found one; try another name, or remove it first",
            path.native())};
  }
  if (on_existing == OnExisting::kReplaceInUse) co_return Result<void>();
  OpenOptions probe;
  probe.writable = true;
  probe.lock = FileLock::kExclusive;
  CO_TRY(co_await host.Open(path, probe));
  co_return Result<void>();
}

TemporaryFile::TemporaryFile(std::filesystem::path destination)
    : destination_(std::move(destination)), path_(TemporaryName(destination_)) {
  Remember(path_);
}

TemporaryFile::~TemporaryFile() {
  // Not through the Host: a destructor cannot wait, and neither can the signal handler.
  if (!published_) ::unlink(path_.c_str());
  Forget(path_);
}

Async<void> TemporaryFile::Publish(Host& host, OnExisting on_existing) {
  CO_TRY(co_await CheckDestination(host, destination_, on_existing));
  CO_TRY(co_await host.Rename(path_, destination_));
  published_ = true;
  const std::filesystem::path directory = DirectoryOf(destination_);
  CO_TRY(co_await host.SyncDirectory(directory));
  co_return Result<void>();
}

Error TemporaryFile::InTermsOfDestination(Error error) const {
  const std::string& temporary = path_.native();
  const std::string& wanted = destination_.native();
  bool named = false;
  for (size_t at = error.message.find(temporary); at != std::string::npos;
       at = error.message.find(temporary, at + wanted.size())) {
    error.message.replace(at, temporary.size(), wanted);
    named = true;
  }
  if (named) return error;
  return std::move(error).WithContext(wanted);
}

}  // namespace mica
