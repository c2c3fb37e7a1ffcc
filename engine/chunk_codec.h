// SPDX-License-Identifier: Apache-2.0
// Compressed chunks: each is one zstd frame (RFC 8878) without dictionary, so that any chunk can be
// read without any other.
#pragma once

#include <memory>
#include <optional>

#include "engine/base/bytes.h"
#include "engine/base/result.h"

struct ZSTD_CCtx_s;

namespace mica {

inline constexpr int kCompressionLevelMin = 1;
inline constexpr int kCompressionLevelMax = 19;

// One thread at a time. The same content, level and zstd give the same bytes.
class ChunkCompressor {
 public:
  // `level` from kCompressionLevelMin to kCompressionLevelMax.
  explicit ChunkCompressor(int level);

  // How many bytes of `frame` were filled; empty when the compressed content does not fit.
  std::optional<size_t> Compress(ConstBytes content, Bytes frame) noexcept;

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const noexcept;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
};

// Any input and any thread; takes no memory that depends on the input. kCorrupt unless `frame` is
// whole frames of exactly content.size() bytes; `content` then holds anything.
Result<void> DecompressChunk(ConstBytes frame, Bytes content);

}  // namespace mica
