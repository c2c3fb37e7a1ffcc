// SPDX-License-Identifier: Apache-2.0
#include "formats/parent_path.h"

namespace mica {

namespace {

Result<std::filesystem::path> RealDirectoryOf(const std::filesystem::path& file) {
  const std::filesystem::path directory = DirectoryOf(file);
  std::error_code failed;
  std::filesystem::path real = std::filesystem::canonical(directory, failed);
  if (failed) return ErrnoError(failed.value(), directory.native());
  return real;
}

}  // namespace

std::filesystem::path DirectoryOf(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : ".";
}

Result<std::string> RecordedParentPath(const std::filesystem::path& parent,
                                       const std::filesystem::path& child) {
  ASSIGN(const std::filesystem::path from, RealDirectoryOf(child));
  ASSIGN(const std::filesystem::path to, RealDirectoryOf(parent));
  return (to / parent.filename()).lexically_relative(from).native();
}

std::filesystem::path ResolveParentPath(const std::filesystem::path& child,
                                        const std::string& recorded) {
  // An absolute path replaces the directory by the rules of operator/. Not shortened: where the
  // directory is a symbolic link, ".." leads out of the directory it points to, not of the link's.
  return child.parent_path() / recorded;
}

}  // namespace mica
