// SPDX-License-Identifier: Apache-2.0
#include "engine/io/aligned_file.h"

#include <algorithm>
#include <cstring>

#include "engine/base/checked_math.h"

namespace mica {

namespace {

constexpr uint64_t kBounceBytesMax = uint64_t{1} << 20;
constexpr uint64_t kFileSizeMax = uint64_t{1} << 62;  // leaves room to align upwards

}  // namespace

AlignedFile::AlignedFile(EventLoop& loop, std::unique_ptr<BlockFile> inner,
                         uint32_t memory_alignment)
    : inner_(std::move(inner)),
      alignment_(inner_->limits().request_alignment),
      memory_alignment_(memory_alignment),
      gate_(loop) {}

bool AlignedFile::IsAlignedRange(ByteRange range) const noexcept {
  return IsAligned(range.offset | range.length, alignment_);
}

bool AlignedFile::IsAlignedMemory(const std::byte* data) const noexcept {
  return IsAligned(reinterpret_cast<uintptr_t>(data), memory_alignment_);
}

Async<void> AlignedFile::Shared(Async<void> change) {
  while (exclusive_ || exclusive_waiting_ > 0) co_await gate_.Wait();
  ++shared_;
  Result<void> result = co_await change;
  if (--shared_ == 0 && exclusive_waiting_ > 0) gate_.NotifyAll();
  co_return result;
}

Async<void> AlignedFile::Read(uint64_t offset, Bytes buffer) {
  const ByteRange range{offset, buffer.size()};
  const bool aligned = IsAlignedRange(range) && IsAlignedMemory(buffer.data());
  // What lies beyond any file is the inner file's to refuse.
  if (aligned || !FitsInside(range, kFileSizeMax)) return inner_->Read(offset, buffer);
  return ReadBounced(offset, buffer);
}

Async<void> AlignedFile::ReadBounced(uint64_t offset, Bytes buffer) {
  const ByteRange range{offset, buffer.size()};
  const ByteRange outer = AlignOutward(range, alignment_);
  AlignedBuffer bounce(std::min(outer.length, kBounceBytesMax));
  for (uint64_t at = outer.offset; at < outer.end();) {
    const ByteRange part{at, std::min(outer.end() - at, kBounceBytesMax)};
    CO_TRY(co_await inner_->Read(part.offset, bounce.span().first(part.length)));
    const ByteRange wanted = Intersect(part, range);
    std::memcpy(buffer.data() + (wanted.offset - offset),
                bounce.data() + (wanted.offset - part.offset), wanted.length);
    at = part.end();
  }
  co_return Result<void>();
}

Async<void> AlignedFile::Write(uint64_t offset, ConstBytes buffer) {
  const ByteRange range{offset, buffer.size()};
  if (!FitsInside(range, kFileSizeMax)) return inner_->Write(offset, buffer);
  if (!IsAlignedRange(range)) return WriteUnaligned(offset, buffer);
  if (IsAlignedMemory(buffer.data())) return Shared(inner_->Write(offset, buffer));
  return Shared(WriteBounced(offset, buffer));
}

Async<void> AlignedFile::WriteBounced(uint64_t offset, ConstBytes buffer) {
  AlignedBuffer bounce(std::min<uint64_t>(buffer.size(), kBounceBytesMax));
  for (uint64_t done = 0; done < buffer.size();) {
    const uint64_t length = std::min<uint64_t>(buffer.size() - done, kBounceBytesMax);
    std::memcpy(bounce.data(), buffer.data() + done, length);
    CO_TRY(co_await inner_->Write(offset + done, bounce.span().first(length)));
    done += length;
  }
  co_return Result<void>();
}

Async<void> AlignedFile::WriteUnaligned(uint64_t offset, ConstBytes buffer) {
  if (buffer.empty()) co_return Result<void>();
  ++exclusive_waiting_;
  while (exclusive_ || shared_ > 0) co_await gate_.Wait();
  --exclusive_waiting_;
  exclusive_ = true;
  Result<void> result = co_await ModifyBlocks(offset, buffer);
  exclusive_ = false;
  gate_.NotifyAll();
  co_return result;
}

Async<void> AlignedFile::ModifyBlocks(uint64_t offset, ConstBytes buffer) {
  CO_ASSIGN(const uint64_t size_before, co_await inner_->Size());
  const ByteRange range{offset, buffer.size()};
  Result<void> result;
  for (uint64_t at = range.offset; at < range.end() && result;) {
    // Parts end at block boundaries, so that only the outermost blocks are read first.
    const uint64_t part_end = std::min(range.end(), AlignDown(at, alignment_) + kBounceBytesMax);
    const ByteRange part = RangeBetween(at, part_end);
    result = co_await ModifyPart(part, buffer.subspan(at - offset, part.length));
    at = part_end;
  }
  const uint64_t size_wanted = std::max(size_before, range.end());
  if (AlignUp(range.end(), alignment_) > size_wanted) {
    CO_ASSIGN(const uint64_t size_now, co_await inner_->Size());
    if (size_now > size_wanted) CO_TRY(co_await inner_->Resize(size_wanted));
  }
  co_return result;
}

Async<void> AlignedFile::ModifyPart(ByteRange part, ConstBytes data) {
  const ByteRange outer = AlignOutward(part, alignment_);
  AlignedBuffer bounce(outer.length);
  const Bytes first_block = bounce.span().first(alignment_);
  const Bytes last_block = bounce.span().last(alignment_);
  const bool head_is_partial = part.offset != outer.offset;
  const bool tail_is_partial = part.end() != outer.end();
  if (head_is_partial) CO_TRY(co_await inner_->Read(outer.offset, first_block));
  const bool one_block = outer.length == alignment_;
  if (tail_is_partial && !(one_block && head_is_partial)) {
    CO_TRY(co_await inner_->Read(outer.end() - alignment_, last_block));
  }
  std::memcpy(bounce.data() + (part.offset - outer.offset), data.data(), data.size());
  co_return co_await inner_->Write(outer.offset, bounce.span());
}

Async<void> AlignedFile::WriteZeroes(ByteRange range, ZeroMode mode) {
  return Shared(inner_->WriteZeroes(range, mode));
}

Async<void> AlignedFile::Allocate(ByteRange range) {
  return Shared(inner_->Allocate(range));
}

Async<void> AlignedFile::Resize(uint64_t size) {
  return Shared(inner_->Resize(size));
}

}  // namespace mica
