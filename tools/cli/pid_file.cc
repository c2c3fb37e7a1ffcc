// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/pid_file.h"

#include <fcntl.h>
#include <fmt/core.h>

#include <cerrno>

#include "engine/base/unique_fd.h"

namespace mica {

Result<PidFile> PidFile::Write(std::filesystem::path path) {
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file) return ErrnoError(errno, fmt::format("{}: create", path.native()));
  const std::string text = fmt::format("{}\n", ::getpid());
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return ErrnoError(errno, fmt::format("{}: write", path.native()));
  }
  return PidFile(std::move(path));
}

PidFile::PidFile(PidFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}

PidFile::~PidFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

}  // namespace mica
