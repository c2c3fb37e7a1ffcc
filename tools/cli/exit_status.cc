// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/exit_status.h"

namespace mica {

ExitStatus ExitStatusOf(const Error& error) noexcept {
  switch (error.code) {
    case Errc::kBusy:
      return ExitStatus::kBusy;
    case Errc::kMismatch:
      return ExitStatus::kMismatch;
    case Errc::kNoSpace:
      return ExitStatus::kNoSpace;
    case Errc::kInvalidArgument:
      // An EINVAL of the host is not the caller's wording.
      return error.sys_errno == 0 ? ExitStatus::kUsage : ExitStatus::kError;
    case Errc::kIo:
    case Errc::kCorrupt:
    case Errc::kUnsupported:
    case Errc::kOutOfRange:
    case Errc::kReadOnly:
    case Errc::kNotFound:
    case Errc::kExists:
    case Errc::kLimit:
    case Errc::kCancelled:
      return ExitStatus::kError;
  }
  return ExitStatus::kError;
}

}  // namespace mica
