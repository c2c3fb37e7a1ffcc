// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/io_manager.h"

#include <et/com_err.h>
#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "engine/base/checked_math.h"

namespace mica::guest {

// What the library calls. Static members of a nested type, so that they reach the private members.
struct IoManager::Callbacks {
  static IoManager& Of(io_channel channel) {
    return *static_cast<IoManager*>(channel->private_data);
  }

  static errcode_t Open(const char* name, int /*flags*/, io_channel* channel) {
    const std::string_view text(name);
    uintptr_t address = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), address, 16);
    if (parsed.ec != std::errc() || address == 0) return EXT2_ET_BAD_DEVICE_NAME;
    auto* self = reinterpret_cast<IoManager*>(address);  // NOLINT(performance-no-int-to-ptr)
    auto* made = static_cast<io_channel>(std::calloc(1, sizeof(struct_io_channel)));
    if (made == nullptr) return EXT2_ET_NO_MEMORY;
    made->magic = EXT2_ET_MAGIC_IO_CHANNEL;
    made->manager = &self->manager_;
    made->name = strdup(name);
    made->refcount = 1;
    made->private_data = self;
    *channel = made;
    return self->SetBlockBytes(made, 1024);
  }

  static errcode_t Close(io_channel channel) {
    if (--channel->refcount > 0) return 0;
    const errcode_t result = Of(channel).Flush();
    std::free(channel->name);
    std::free(channel);
    return result;
  }

  static errcode_t SetBlockSize(io_channel channel, int bytes) {
    return Of(channel).SetBlockBytes(channel, bytes);
  }
  static errcode_t Read(io_channel channel, unsigned long block, int count, void* data) {
    return Of(channel).Read(block, count, data);
  }
  static errcode_t Read64(io_channel channel, unsigned long long block, int count, void* data) {
    return Of(channel).Read(block, count, data);
  }
  static errcode_t Write(io_channel channel, unsigned long block, int count, const void* data) {
    return Of(channel).Write(block, count, data);
  }
  static errcode_t Write64(io_channel channel, unsigned long long block, int count,
                           const void* data) {
    return Of(channel).Write(block, count, data);
  }
  static errcode_t WriteByte(io_channel channel, unsigned long offset, int count,
                             const void* data) {
    if (count < 0) return EXT2_ET_INVALID_ARGUMENT;
    return Of(channel).WriteBytes(
        offset, {static_cast<const std::byte*>(data), static_cast<size_t>(count)});
  }
  static errcode_t Flush(io_channel channel) { return Of(channel).Flush(); }
  static errcode_t Discard(io_channel channel, unsigned long long block, unsigned long long count) {
    return Of(channel).ZeroOrDiscard(block, count, false);
  }
  static errcode_t ZeroOut(io_channel channel, unsigned long long block, unsigned long long count) {
    return Of(channel).ZeroOrDiscard(block, count, true);
  }
  static errcode_t GetStats(io_channel channel, io_stats* stats) {
    if (stats != nullptr) *stats = &Of(channel).stats_;
    return 0;
  }
  static errcode_t SetOption(io_channel /*channel*/, const char* /*option*/,
                             const char* /*value*/) {
    return EXT2_ET_INVALID_ARGUMENT;
  }
};

IoManager::IoManager(SyncDevice& device) : device_(device) {
  manager_.magic = EXT2_ET_MAGIC_IO_MANAGER;
  manager_.name = "mica block device";
  manager_.open = Callbacks::Open;
  manager_.close = Callbacks::Close;
  manager_.set_blksize = Callbacks::SetBlockSize;
  manager_.read_blk = Callbacks::Read;
  manager_.write_blk = Callbacks::Write;
  manager_.flush = Callbacks::Flush;
  manager_.write_byte = Callbacks::WriteByte;
  manager_.set_option = Callbacks::SetOption;
  manager_.get_stats = Callbacks::GetStats;
  manager_.read_blk64 = Callbacks::Read64;
  manager_.write_blk64 = Callbacks::Write64;
  manager_.discard = Callbacks::Discard;
  manager_.zeroout = Callbacks::ZeroOut;
  stats_.num_fields = 2;
}

std::string IoManager::name() const {
  return fmt::format("{:x}", reinterpret_cast<uintptr_t>(this));
}

std::optional<Error> IoManager::TakeError(errcode_t code) {
  std::optional<Error> error = std::exchange(error_, std::nullopt);
  if (code != error_code_) return std::nullopt;
  return error;
}

errcode_t IoManager::Keep(Error error) {
  const errcode_t code = error.sys_errno != 0              ? error.sys_errno
                         : error.code == Errc::kNoSpace    ? ENOSPC
                         : error.code == Errc::kReadOnly   ? EROFS
                         : error.code == Errc::kOutOfRange ? EXT2_ET_SHORT_READ
                                                           : EIO;
  error_ = std::move(error);
  error_code_ = code;
  return code;
}

errcode_t IoManager::SetBlockBytes(io_channel channel, int bytes) {
  if (bytes < 512 || bytes > 65536) return EXT2_ET_UNEXPECTED_BLOCK_SIZE;
  channel->block_size = bytes;
  block_bytes_ = static_cast<uint64_t>(bytes);
  cache_.Reset(block_bytes_);
  return 0;
}

std::optional<ByteRange> IoManager::RangeOf(uint64_t block, int count) const {
  const auto offset = CheckedMultiply(block, block_bytes_);
  if (!offset) return std::nullopt;
  const uint64_t length = count < 0 ? static_cast<uint64_t>(-int64_t{count})
                                    : static_cast<uint64_t>(count) * block_bytes_;
  if (!CheckedAdd(*offset, length)) return std::nullopt;
  return ByteRange{*offset, length};
}

errcode_t IoManager::Read(uint64_t block, int count, void* data) {
  const auto range = RangeOf(block, count);
  if (!range) return EXT2_ET_SHORT_READ;
  const Bytes to(static_cast<std::byte*>(data), range->length);
  if (count == 1 && cache_.Load(block, to)) return 0;
  Result<void> result = device_.Read(range->offset, to);
  if (!result) return Keep(std::move(result).error());
  stats_.bytes_read += range->length;
  if (count == 1) cache_.Store(block, to);
  return 0;
}

errcode_t IoManager::Write(uint64_t block, int count, const void* data) {
  const auto range = RangeOf(block, count);
  if (!range) return EXT2_ET_SHORT_WRITE;
  const ConstBytes from(static_cast<const std::byte*>(data), range->length);
  cache_.DropRange(block, DivideRoundUp(range->length, block_bytes_));
  Result<void> result = device_.Write(range->offset, from);
  if (!result) return Keep(std::move(result).error());
  stats_.bytes_written += range->length;
  if (count == 1) cache_.Store(block, from);
  return 0;
}

errcode_t IoManager::WriteBytes(uint64_t offset, ConstBytes data) {
  cache_.DropRange(offset / block_bytes_, DivideRoundUp(data.size(), block_bytes_) + 1);
  Result<void> result = device_.Write(offset, data);
  if (!result) return Keep(std::move(result).error());
  stats_.bytes_written += data.size();
  return 0;
}

errcode_t IoManager::ZeroOrDiscard(uint64_t block, uint64_t count, bool must_zero) {
  const auto offset = CheckedMultiply(block, block_bytes_);
  const auto length = CheckedMultiply(count, block_bytes_);
  if (!offset || !length || !CheckedAdd(*offset, *length)) return EXT2_ET_INVALID_ARGUMENT;
  cache_.DropRange(block, count);
  const ByteRange range{*offset, *length};
  Result<void> result = must_zero ? device_.WriteZeroes(range) : device_.Discard(range);
  if (!result) return Keep(std::move(result).error());
  return 0;
}

errcode_t IoManager::Flush() {
  Result<void> result = device_.Flush();
  if (!result) return Keep(std::move(result).error());
  return 0;
}

namespace {

Errc KindOf(errcode_t code) {
  switch (code) {
    case EXT2_ET_UNSUPP_FEATURE:
    case EXT2_ET_RO_UNSUPP_FEATURE:
    case EXT2_ET_REV_TOO_HIGH:
    case EXT2_ET_OP_NOT_SUPPORTED:
    case EXT2_ET_UNIMPLEMENTED:
      return Errc::kUnsupported;
    case EXT2_ET_FILE_NOT_FOUND:
    case EXT2_ET_EA_KEY_NOT_FOUND:
      return Errc::kNotFound;
    case EXT2_ET_DIR_EXISTS:
    case EXT2_ET_FILE_EXISTS:
      return Errc::kExists;
    case EXT2_ET_BLOCK_ALLOC_FAIL:
    case EXT2_ET_INODE_ALLOC_FAIL:
    case EXT2_ET_DIR_NO_SPACE:
    case EXT2_ET_EA_NO_SPACE:
    case EXT2_ET_EXTENT_NO_SPACE:
    case EXT2_ET_INLINE_DATA_NO_SPACE:
      return Errc::kNoSpace;
    case EXT2_ET_NO_MEMORY:
    case EXT2_ET_FILE_TOO_BIG:
      return Errc::kLimit;
    case EXT2_ET_RO_FILSYS:
      return Errc::kReadOnly;
    case EXT2_ET_INVALID_ARGUMENT:
      return Errc::kInvalidArgument;
    default:
      return Errc::kCorrupt;
  }
}

}  // namespace

Error Ext2Error(IoManager& io, errcode_t code, std::string_view action) {
  if (std::optional<Error> device_error = io.TakeError(code)) {
    // A place beyond the end is the fault of the metadata that named it.
    if (device_error->code == Errc::kOutOfRange) device_error->code = Errc::kCorrupt;
    return std::move(*device_error).WithContext(action);
  }
  if (code > 0 && code < 256) return ErrnoError(static_cast<int>(code), action);
  return Error{KindOf(code), fmt::format("{}: {}", action, error_message(code))};
}

}  // namespace mica::guest
