// SPDX-License-Identifier: Apache-2.0
#include "engine/base/error.h"

#include <fmt/core.h>

#include <cerrno>
#include <cstring>

namespace mica {

std::string_view ErrcName(Errc code) noexcept {
  switch (code) {
    case Errc::kIo:
      return "io";
    case Errc::kCorrupt:
      return "corrupt";
    case Errc::kUnsupported:
      return "unsupported";
    case Errc::kInvalidArgument:
      return "invalid-argument";
    case Errc::kOutOfRange:
      return "out-of-range";
    case Errc::kNoSpace:
      return "no-space";
    case Errc::kReadOnly:
      return "read-only";
    case Errc::kNotFound:
      return "not-found";
    case Errc::kExists:
      return "exists";
    case Errc::kBusy:
      return "busy";
    case Errc::kMismatch:
      return "mismatch";
    case Errc::kLimit:
      return "limit";
    case Errc::kCancelled:
      return "cancelled";
  }
  return "unknown";
}

Error Error::WithContext(std::string_view what) && {
  return {code, sys_errno, fmt::format("{}: {}", what, message)};
}

namespace {

Errc KindOf(int host_errno) noexcept {
  switch (host_errno) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Errc::kNoSpace;
    case ENOENT:
    case ENOTDIR:
      return Errc::kNotFound;
    case EEXIST:
      return Errc::kExists;
    case EROFS:
      return Errc::kReadOnly;
    case EOPNOTSUPP:
    case ENOSYS:
      return Errc::kUnsupported;
    case EINVAL:
      return Errc::kInvalidArgument;
    case EBUSY:
      return Errc::kBusy;
    case ECANCELED:
      return Errc::kCancelled;
    default:
      return Errc::kIo;
  }
}

}  // namespace

Error ErrnoError(int host_errno, std::string_view action) {
  char buffer[128];
  const char* text = strerror_r(host_errno, buffer, sizeof buffer);
  return {KindOf(host_errno), host_errno, fmt::format("{}: {}", action, text)};
}

}  // namespace mica
