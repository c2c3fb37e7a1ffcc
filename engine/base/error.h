// SPDX-License-Identifier: Apache-2.0
// The one error type of the project: a small kind for code to act on, an errno where the host gave
// one, and a message for people that names what was expected, what was found and what helps.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mica {

// Kinds are for decisions (exit status, NBD error, retry); detail goes into the message.
enum class Errc : uint8_t {
  kIo,               // the host failed a read, write or sync
  kCorrupt,          // content contradicts its format or its checksum
  kUnsupported,      // valid, but not something this build does
  kInvalidArgument,  // the caller asked for something meaningless
  kOutOfRange,       // beyond the end of the device or file
  kNoSpace,          // the host, or a quota, has no room
  kReadOnly,         // a change was asked of something sealed or opened read-only
  kNotFound,
  kExists,
  kBusy,      // in use by someone else, or fenced
  kMismatch,  // a parent is not the one that was recorded
  kLimit,     // a named maximum was exceeded
  kCancelled,
};

std::string_view ErrcName(Errc code) noexcept;

struct Error {
  Errc code = Errc::kIo;
  int sys_errno = 0;  // 0 when the error is ours and not the host's
  std::string message;

  Error(Errc kind, std::string text) : code(kind), message(std::move(text)) {}
  Error(Errc kind, int host_errno, std::string text)
      : code(kind), sys_errno(host_errno), message(std::move(text)) {}

  // Puts "what: " in front of the message; used where the abstraction changes.
  [[nodiscard]] Error WithContext(std::string_view what) &&;
};

// An error from errno: the kind is derived (ENOSPC and EDQUOT are kNoSpace, …) and the message is
// "action: strerror".
Error ErrnoError(int host_errno, std::string_view action);

}  // namespace mica
