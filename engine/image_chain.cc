// SPDX-License-Identifier: Apache-2.0
#include "engine/image_chain.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/base/checked_math.h"

namespace mica {

ImageChain::ImageChain(EventLoop& loop, std::vector<std::unique_ptr<Layer>> layers)
    : loop_(loop), layers_(std::move(layers)), write_lock_(loop) {
  MICA_CHECK(!layers_.empty() && layers_.size() <= kChainDepthMax);
  const LayerInfo& head = layers_.front()->info();
  cluster_bytes_ = std::max<uint32_t>(head.cluster_bytes, 1);
  read_block_bytes_ = 1;
  for (const std::unique_ptr<Layer>& layer : layers_) {
    read_block_bytes_ = std::max(read_block_bytes_, layer->info().digest_block_bytes);
  }
  info_.size = head.virtual_size;
  info_.block_bytes_preferred = std::max<uint32_t>(4096, cluster_bytes_);
  info_.read_only = !head.writable;
}

ImageChain::~ImageChain() = default;

Result<void> ImageChain::CheckRange(ByteRange range, bool changes) const {
  if (changes && info_.read_only) {
    return Error{Errc::kReadOnly, "the image is read-only: sealed, or not opened for writing"};
  }
  if (!FitsInside(range, info_.size)) {
    return Error{Errc::kOutOfRange,
                 fmt::format("offset {} length {} is outside the disk of {} bytes", range.offset,
                             range.length, info_.size)};
  }
  return {};
}

Async<void> ImageChain::Flush() {
  if (info_.read_only) co_return Result<void>();
  co_return co_await layers_.front()->Flush();
}

Async<void> ImageChain::MakeDurable(Durability durability) {
  if (durability == Durability::kVolatile) co_return Result<void>();
  co_return co_await layers_.front()->Flush();
}

Async<void> ImageChain::Close() {
  Result<void> outcome;
  for (std::unique_ptr<Layer>& layer : layers_) {
    Result<void> closed = co_await layer->Close();
    if (!closed && outcome) outcome = std::move(closed);
  }
  co_return outcome;
}

}  // namespace mica
