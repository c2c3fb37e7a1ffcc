// SPDX-License-Identifier: Apache-2.0
// A folder of our own for as long as the object lives.
#pragma once

#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <string>
#include <utility>

#include "engine/base/result.h"

namespace mica {

class ScratchFolder {
 public:
  // In $TMPDIR or /tmp.
  static Result<ScratchFolder> Make() {
    std::error_code failed;
    std::filesystem::path place = std::filesystem::temp_directory_path(failed);
    if (failed) place = "/tmp";
    std::string name = (place / "mica-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) return ErrnoError(errno, "create " + name);
    return ScratchFolder(name);
  }
  ScratchFolder(ScratchFolder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ScratchFolder& operator=(ScratchFolder&&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

 private:
  explicit ScratchFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace mica
