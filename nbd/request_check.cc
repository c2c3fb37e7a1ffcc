// SPDX-License-Identifier: Apache-2.0
#include "nbd/request_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "engine/base/checked_math.h"
#include "nbd/payload_reader.h"

namespace mica::nbd {

namespace {

enum class Effect : uint8_t { kNone, kReads, kChanges };

// "Request types": one row per command that is answered.
struct CommandRow {
  Command command;
  Effect effect;        // kNone: offset and length have no meaning
  uint16_t offered_by;  // the transmission flag that makes the command valid; 0: always valid
  uint16_t flags;       // command flags with a meaning here, besides FUA
  uint64_t length_max;
};
constexpr uint64_t kUnlimited = UINT64_MAX;
constexpr std::array kCommands = {
    CommandRow{Command::kRead, Effect::kReads, 0, kCommandDf, kPayloadBytesMax},
    CommandRow{Command::kWrite, Effect::kChanges, 0, 0, kPayloadBytesMax},
    CommandRow{Command::kFlush, Effect::kNone, kFlagSendFlush, 0, kUnlimited},
    CommandRow{Command::kTrim, Effect::kChanges, kFlagSendTrim, 0, kUnlimited},
    CommandRow{Command::kCache, Effect::kReads, kFlagSendCache, 0, kUnlimited},
    CommandRow{Command::kWriteZeroes, Effect::kChanges, kFlagSendWriteZeroes,
               kCommandNoHole | kCommandFastZero, kUnlimited},
    CommandRow{Command::kBlockStatus, Effect::kReads, 0, kCommandReqOne, kUnlimited},
};

// "Command flags": what must have been offered for a flag to be valid. FUA is valid on every
// command once it was offered.
struct FlagRow {
  uint16_t flag;
  uint16_t offered_by;
};
constexpr std::array kFlags = {
    FlagRow{kCommandFua, kFlagSendFua},
    FlagRow{kCommandNoHole, kFlagSendWriteZeroes},
    FlagRow{kCommandDf, kFlagSendDf},
    FlagRow{kCommandReqOne, kFlagHasFlags},
    FlagRow{kCommandFastZero, kFlagSendFastZero},
};

const CommandRow* FindRow(Command command) noexcept {
  for (const CommandRow& row : kCommands) {
    if (row.command == command) return &row;
  }
  return nullptr;
}

// "Command flags", NBD_CMD_FLAG_PAYLOAD_LEN: not offered by a flag of its own on WRITE.
bool PayloadIsValid(const CommandRow& row, const Agreement& agreement) noexcept {
  if (agreement.replies != ReplyStyle::kExtended) return false;
  if (row.command == Command::kWrite) return true;
  return row.command == Command::kBlockStatus && (agreement.flags & kFlagBlockStatusPayload) != 0;
}

bool FlagsAreValid(uint16_t flags, const CommandRow& row, const Agreement& agreement) noexcept {
  uint16_t valid = 0;
  for (const FlagRow& flag : kFlags) {
    const bool offered = (agreement.flags & flag.offered_by) != 0;
    const bool applies = flag.flag == kCommandFua || (row.flags & flag.flag) != 0;
    if (offered && applies) valid |= flag.flag;
  }
  if (PayloadIsValid(row, agreement)) valid |= kCommandPayloadLen;
  return (flags & ~valid) == 0;
}

// Whether zeroing costs less than writing. Two units or more contain a whole one.
bool ZeroesFast(const Request& request, const DeviceInfo& device) noexcept {
  const uint64_t unit = device.quick_zero_bytes;
  if (unit == 0 || (request.flags & kCommandNoHole) != 0) return false;
  const bool to_a_boundary =
      IsAligned(request.range.end(), unit) || request.range.end() == device.size;
  const bool aligned = IsAligned(request.range.offset, unit) && to_a_boundary;
  return aligned || request.range.length >= 2 * unit;
}

std::optional<Refusal> CheckRange(const Request& request, const CommandRow& row,
                                  const DeviceInfo& device) noexcept {
  if (request.range.length > row.length_max) {
    return Refusal{WireError::kInvalid, "the request is too long"};
  }
  if (!FitsInside(request.range, device.size)) {
    const bool stores = row.command == Command::kWrite || row.command == Command::kWriteZeroes;
    return Refusal{stores ? WireError::kNoSpace : WireError::kInvalid,
                   "the range is beyond the end of the export"};
  }
  if (!IsAligned(request.range.offset, device.block_bytes_min) ||
      !IsAligned(request.range.length, device.block_bytes_min)) {
    return Refusal{WireError::kInvalid, "the range is not a multiple of the minimum block size"};
  }
  if (row.command == Command::kBlockStatus && request.range.empty()) {
    return Refusal{WireError::kInvalid, "an empty range has no status"};
  }
  if ((request.flags & kCommandFastZero) != 0 && !ZeroesFast(request, device)) {
    return Refusal{WireError::kNotSupported, "zeroing would not be faster than writing"};
  }
  return std::nullopt;
}

}  // namespace

uint16_t TransmissionFlags(const Export& target, ReplyStyle replies) noexcept {
  uint16_t flags = kFlagHasFlags | kFlagCanMultiConn | kFlagSendCache;
  if (target.read_only()) {
    flags |= kFlagReadOnly;
  } else {
    flags |= kFlagSendFlush | kFlagSendFua | kFlagSendTrim | kFlagSendWriteZeroes;
    flags |= kFlagSendFastZero;
  }
  if (target.device->info().rotational) flags |= kFlagRotational;
  if (replies != ReplyStyle::kSimple) flags |= kFlagSendDf;
  return flags;
}

std::optional<Error> CheckPayload(const Request& request) {
  if (request.payload_bytes > kPayloadBytesMax) {
    return Error{Errc::kLimit, fmt::format("{} bytes of payload", request.payload_bytes)};
  }
  return std::nullopt;
}

std::optional<Refusal> CheckRequest(const Request& request, const Agreement& agreement) noexcept {
  const CommandRow* const row = FindRow(request.command);
  if (row == nullptr) return Refusal{WireError::kInvalid, "unknown command"};
  if (row->effect == Effect::kChanges && (agreement.flags & kFlagReadOnly) != 0) {
    return Refusal{WireError::kPerm, "the export is read-only"};
  }
  if (row->offered_by != 0 && (agreement.flags & row->offered_by) == 0) {
    return Refusal{WireError::kInvalid, "the command was not offered"};
  }
  if (row->command == Command::kBlockStatus && agreement.contexts.empty()) {
    return Refusal{WireError::kInvalid, "no metadata context was negotiated"};
  }
  if (!FlagsAreValid(request.flags, *row, agreement)) {
    return Refusal{WireError::kInvalid, "a command flag is unknown or was not offered"};
  }
  if (row->effect == Effect::kNone) return std::nullopt;
  if (row->command == Command::kBlockStatus && request.payload_bytes != 0) return std::nullopt;
  return CheckRange(request, *row, agreement.target->device->info());
}

std::optional<StatusQuery> ReadStatusQuery(const Request& request, ConstBytes payload,
                                           const Agreement& agreement) {
  PayloadReader reader(payload);
  const std::optional<uint64_t> length = reader.Number<uint64_t>();
  if (!length) return std::nullopt;
  StatusQuery query{.length = *length, .contexts = {}};
  while (!reader.empty()) {
    const std::optional<uint32_t> id = reader.Number<uint32_t>();
    if (!id) return std::nullopt;
    const auto found = std::ranges::find(agreement.contexts, *id, &SelectedContext::id);
    if (found == agreement.contexts.end()) return std::nullopt;
    if (std::ranges::find(query.contexts, &*found) != query.contexts.end()) return std::nullopt;
    query.contexts.push_back(&*found);  // at most as many as were selected: none comes twice
  }
  Request effective = request;
  effective.range.length = *length;
  effective.payload_bytes = 0;
  effective.flags &= static_cast<uint16_t>(~kCommandPayloadLen);
  if (query.contexts.empty() || CheckRequest(effective, agreement)) return std::nullopt;
  return query;
}

}  // namespace mica::nbd
