// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <cerrno>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/result.h"

namespace mica {

// Gives what is left of an open file to `take`, piece by piece. Errors name the file as `name`.
inline Result<void> ReadPieces(int fd, const std::string& name,
                               const std::function<Result<void>(std::string_view)>& take) {
  std::string piece(size_t{1} << 18, '\0');
  for (;;) {
    const ssize_t count = ::read(fd, piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoError(errno, "read " + name);
    if (count == 0) return {};
    TRY(take(std::string_view(piece).substr(0, static_cast<size_t>(count))));
  }
}

}  // namespace mica
