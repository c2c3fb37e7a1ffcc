// SPDX-License-Identifier: Apache-2.0
#include "nbd/request_check.h"

#include <array>

#include "engine/base/checked_math.h"

namespace mica::nbd {

namespace {

enum class Effect : uint8_t { kNone, kReads, kChanges };

// "Request types": one row per command that is answered.
struct CommandRow {
  Command command;
  Effect effect;        // kNone: offset and length have no meaning
  uint16_t offered_by;  // the transmission flag that makes the command valid; 0: always valid
  uint16_t flags;       // command flags with a meaning here, besides FUA
  uint32_t length_max;
};
constexpr uint32_t kUnlimited = UINT32_MAX;
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

bool FlagsAreValid(uint16_t flags, const CommandRow& row, const Agreement& agreement) noexcept {
  uint16_t valid = 0;
  for (const FlagRow& flag : kFlags) {
    const bool offered = (agreement.flags & flag.offered_by) != 0;
    const bool applies = flag.flag == kCommandFua || (row.flags & flag.flag) != 0;
    if (offered && applies) valid |= flag.flag;
  }
  return (flags & ~valid) == 0;
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
  return std::nullopt;
}

}  // namespace

uint16_t TransmissionFlags(const Export& target, ReplyStyle replies) noexcept {
  uint16_t flags = kFlagHasFlags | kFlagCanMultiConn | kFlagSendCache;
  if (target.read_only()) {
    flags |= kFlagReadOnly;
  } else {
    flags |= kFlagSendFlush | kFlagSendFua | kFlagSendTrim | kFlagSendWriteZeroes;
  }
  if (target.device->info().rotational) flags |= kFlagRotational;
  if (replies == ReplyStyle::kStructured) flags |= kFlagSendDf;
  return flags;
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
  return CheckRange(request, *row, agreement.target->device->info());
}

}  // namespace mica::nbd
