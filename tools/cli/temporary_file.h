// SPDX-License-Identifier: Apache-2.0
// A new file appears under its name only when it is complete: it is made under a temporary name
// beside it, synced, renamed, and the directory is synced. Whatever ends the program before that
// (an error, SIGINT, SIGTERM, SIGHUP) removes the temporary file.
#pragma once

#include <filesystem>

#include "engine/io/host.h"

namespace mica {

// From here on SIGINT, SIGTERM and SIGHUP remove the temporary files of this process before they
// end it. Once, in main; a verb that handles those signals itself replaces this.
void RemoveTemporaryFilesOnSignal();

enum class OnExisting : uint8_t {
  kRefuse,
  kReplace,
  kReplaceInUse,  // also a file that somebody has open, who keeps the old one
};

// kExists with a hint when there is something at `path` that is not to be replaced; kBusy when it
// is to be replaced and in use; kUnsupported for a block device.
Async<void> CheckDestination(Host& host, std::filesystem::path path, OnExisting on_existing);

class TemporaryFile {
 public:
  // Chooses a name in the directory of `destination` and creates nothing.
  explicit TemporaryFile(std::filesystem::path destination);
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  // Removes the file unless it has been published.
  ~TemporaryFile();

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

  // The error as the user knows the file, who has never heard of the temporary name.
  [[nodiscard]] Error InTermsOfDestination(Error error) const;

  // Gives the file its name, durably. It has been written, synced and closed.
  Async<void> Publish(Host& host, OnExisting on_existing);

 private:
  std::filesystem::path destination_;
  std::filesystem::path path_;
  bool published_ = false;
};

}  // namespace mica
