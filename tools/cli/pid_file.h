// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>

#include "engine/base/result.h"

namespace mica {

// The number of this process in a file, for init scripts; the file goes with the object.
class PidFile {
 public:
  // Replaces what a killed process has left behind.
  static Result<PidFile> Write(std::filesystem::path path);
  PidFile(PidFile&& other) noexcept;
  PidFile& operator=(PidFile&&) = delete;
  ~PidFile();

 private:
  explicit PidFile(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;  // empty when moved from
};

}  // namespace mica
