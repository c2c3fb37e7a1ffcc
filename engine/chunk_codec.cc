// SPDX-License-Identifier: Apache-2.0
#include "engine/chunk_codec.h"

#include <fmt/core.h>
#include <zstd.h>

#include "engine/base/check.h"

namespace mica {

namespace {

struct FreeDecompressor {
  void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};

// Costs about 100 KiB and some microseconds to make, so each thread keeps one.
ZSTD_DCtx* DecompressorOfThread() {
  thread_local const std::unique_ptr<ZSTD_DCtx, FreeDecompressor> context(ZSTD_createDCtx());
  MICA_CHECK(context != nullptr);
  return context.get();
}

}  // namespace

void ChunkCompressor::Free::operator()(ZSTD_CCtx_s* context) const noexcept {
  ZSTD_freeCCtx(context);
}

ChunkCompressor::ChunkCompressor(int level) : context_(ZSTD_createCCtx()) {
  MICA_CHECK(context_ != nullptr);
  MICA_CHECK(level >= kCompressionLevelMin && level <= kCompressionLevelMax);
  const auto set = [this](ZSTD_cParameter parameter, int value) {
    MICA_CHECK(ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), parameter, value)) == 0);
  };
  set(ZSTD_c_compressionLevel, level);
  // The size is in our tables and so is a checksum.
  set(ZSTD_c_contentSizeFlag, 0);
  set(ZSTD_c_checksumFlag, 0);
}

std::optional<size_t> ChunkCompressor::Compress(ConstBytes content, Bytes frame) noexcept {
  const size_t bytes =
      ZSTD_compress2(context_.get(), frame.data(), frame.size(), content.data(), content.size());
  if (ZSTD_isError(bytes) != 0) return std::nullopt;  // the one way to fail here is no room
  return bytes;
}

Result<void> DecompressChunk(ConstBytes frame, Bytes content) {
  const size_t bytes = ZSTD_decompressDCtx(DecompressorOfThread(), content.data(), content.size(),
                                           frame.data(), frame.size());
  if (ZSTD_isError(bytes) != 0) {
    return Error{Errc::kCorrupt, fmt::format("zstd: {}", ZSTD_getErrorName(bytes))};
  }
  if (bytes != content.size()) {
    return Error{Errc::kCorrupt,
                 fmt::format("zstd: {} bytes of content, expected {}", bytes, content.size())};
  }
  return {};
}

}  // namespace mica
