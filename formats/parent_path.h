// SPDX-License-Identifier: Apache-2.0
// How a child names its parent's file: relative to the directory of the child's own, so that the
// two can be moved together; and that directory.
#pragma once

#include <filesystem>
#include <string>

#include "engine/base/result.h"

namespace mica {

// The directory that holds `file`; "." for a bare name.
std::filesystem::path DirectoryOf(const std::filesystem::path& file);

// `parent` as `child` records it. Symbolic links of directories are followed, that of the parent's
// own name is kept. Both directories must exist; the files need not.
Result<std::string> RecordedParentPath(const std::filesystem::path& parent,
                                       const std::filesystem::path& child);

// Where the file is that `child` recorded as `recorded`; an absolute one stays.
std::filesystem::path ResolveParentPath(const std::filesystem::path& child,
                                        const std::string& recorded);

}  // namespace mica
