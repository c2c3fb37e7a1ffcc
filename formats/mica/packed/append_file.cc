// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/packed/append_file.h"

#include <algorithm>

#include "formats/mica/packed/header.h"

namespace mica::packed {

Async<void> AppendFile::WriteBuffer(size_t bytes) {
  CO_TRY(co_await file_.Write(written_, buffer_.span().first(bytes)));
  written_ += bytes;
  used_ = 0;
  co_return Result<void>();
}

Async<uint64_t> AppendFile::Append(ConstBytes bytes) {
  const uint64_t offset = position();
  while (!bytes.empty()) {
    const size_t part = std::min(bytes.size(), kBufferBytes - used_);
    std::copy_n(bytes.data(), part, buffer_.data() + used_);
    used_ += part;
    bytes = bytes.subspan(part);
    if (used_ == kBufferBytes) CO_TRY(co_await WriteBuffer(kBufferBytes));
  }
  co_return offset;
}

Async<void> AppendFile::Pad() {
  // Part of a page is left at most, and the buffer ends with a page.
  const size_t end = AlignUp(used_, kPageBytes);
  FillZero(buffer_.span().subspan(used_, end - used_));
  used_ = end;
  if (used_ == kBufferBytes) CO_TRY(co_await WriteBuffer(kBufferBytes));
  co_return Result<void>();
}

Async<uint64_t> AppendFile::AppendPage(ConstBytes page) {
  CO_TRY(co_await Pad());
  co_return co_await Append(page);
}

Async<uint64_t> AppendFile::Finish() {
  CO_TRY(co_await Pad());
  if (used_ > 0) CO_TRY(co_await WriteBuffer(used_));
  co_return written_;
}

}  // namespace mica::packed
