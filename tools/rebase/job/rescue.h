// SPDX-License-Identifier: Apache-2.0
// Losing versions of files, saved outside of the image.
#pragma once

#include "tools/rebase/job/job.h"

namespace mica::rebase {

// Writes the content of `item` to a new file in `directory`, which is made when needed. The file's
// name starts with `number` and keeps what is harmless of the path: names inside an image are
// hostile. Objects without content (directories, devices) are described by a line of text instead.
Result<RescuedFile> SaveRescue(guest::Volume& volume, const RescueItem& item,
                               const std::filesystem::path& directory, size_t number);

}  // namespace mica::rebase
