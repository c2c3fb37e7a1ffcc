// SPDX-License-Identifier: Apache-2.0
// Versions of a guest's files, saved outside of the image.
#pragma once

#include "tools/rebase/job/job.h"

namespace mica::rebase {

// Writes the content of an object to a new file: of a symlink its target, of what has no content
// (directories, devices) a line of text that says so. kExists.
Result<CopiedContent> CopyContent(guest::Volume& volume, uint64_t inode,
                                  const std::filesystem::path& file);

// Writes the content of `item` to a new file in `directory`, which is made when needed. The file's
// name starts with `number` and keeps what is harmless of the path: names inside an image are
// hostile.
Result<RescuedFile> SaveRescue(guest::Volume& volume, const RescueItem& item,
                               const std::filesystem::path& directory, size_t number);

}  // namespace mica::rebase
