// SPDX-License-Identifier: Apache-2.0
#include "nbd/nbd_errors.h"

namespace mica::nbd {

WireError ToWireError(Errc code) noexcept {
  switch (code) {
    case Errc::kIo:
    case Errc::kCorrupt:
    case Errc::kNotFound:
    case Errc::kExists:
    case Errc::kBusy:
    case Errc::kMismatch:
      return WireError::kIo;
    // ENOTSUP is reserved for a fast zero that would be slow.
    case Errc::kUnsupported:
    case Errc::kInvalidArgument:
    case Errc::kOutOfRange:
      return WireError::kInvalid;
    case Errc::kNoSpace:
      return WireError::kNoSpace;
    case Errc::kReadOnly:
      return WireError::kPerm;
    case Errc::kLimit:
      return WireError::kNoMemory;
    case Errc::kCancelled:
      return WireError::kShutdown;
  }
  return WireError::kIo;
}

std::string_view WireErrorText(WireError error) noexcept {
  switch (error) {
    case WireError::kNone:
      return "success";
    case WireError::kPerm:
      return "the export is read-only";
    case WireError::kIo:
      return "the storage failed; see the server's log";
    case WireError::kNoMemory:
      return "the server reached a limit";
    case WireError::kInvalid:
      return "invalid request";
    case WireError::kNoSpace:
      return "no space left";
    case WireError::kOverflow:
      return "too long to be answered in one piece";
    case WireError::kNotSupported:
      return "not possible quickly";
    case WireError::kShutdown:
      return "the server is shutting down";
  }
  return "error";
}

}  // namespace mica::nbd
