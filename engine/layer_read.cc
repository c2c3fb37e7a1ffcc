// SPDX-License-Identifier: Apache-2.0
#include "engine/layer_read.h"

#include <fmt/core.h>

#include "engine/compressed_read.h"
#include "engine/digest.h"

namespace mica {

namespace {

Result<void> VerifyExtent(const LayerInfo& layer, const Mapping& mapping, const Extent& extent,
                          ConstBytes content) {
  if (extent.first_digest == Extent::kNoDigest) return {};
  const std::span<const BlockDigest> digests =
      std::span(mapping.digests).subspan(extent.first_digest);
  const std::optional<size_t> wrong = FirstMismatch(content, layer.digest_block_bytes, digests);
  if (!wrong) return {};
  const uint64_t at = *wrong * layer.digest_block_bytes;
  return Error{Errc::kCorrupt,
               fmt::format("{}: the block at guest offset {}, file offset {} does not match its "
                           "checksum; the host lost or changed it (mica check --data lists all "
                           "such blocks)",
                           layer.path, extent.guest.offset + at, extent.host_offset + at)};
}

}  // namespace

Async<void> ReadStored(EventLoop& loop, Layer& layer, const Mapping& mapping, const Extent& extent,
                       Bytes out) {
  MICA_CHECK(extent.kind != ExtentKind::kUnallocated);
  if (extent.kind == ExtentKind::kCompressed) {
    co_return co_await ReadCompressed(loop, layer, mapping, extent, out);
  }
  if (extent.kind == ExtentKind::kZero) {
    FillZero(out);
    co_return Result<void>();
  }
  CO_TRY(co_await layer.data_file().Read(extent.host_offset, out));
  co_return VerifyExtent(layer.info(), mapping, extent, out);
}

}  // namespace mica
