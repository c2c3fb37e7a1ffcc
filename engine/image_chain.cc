// SPDX-License-Identifier: Apache-2.0
#include "engine/image_chain.h"

#include <fmt/core.h>

#include <algorithm>

#include "engine/base/checked_math.h"

namespace mica {

namespace {

std::shared_ptr<ParentStack> StackOf(EventLoop& loop,
                                     const std::vector<std::shared_ptr<Layer>>& layers) {
  if (layers.size() < 2) return nullptr;
  std::vector<std::shared_ptr<Layer>> parents(layers.begin() + 1, layers.end());
  return std::make_shared<ParentStack>(loop, std::move(parents), ParentStackOptions{});
}

std::vector<std::shared_ptr<Layer>> Shared(std::vector<std::unique_ptr<Layer>> layers) {
  return {std::move_iterator(layers.begin()), std::move_iterator(layers.end())};
}

}  // namespace

ImageChain::ImageChain(EventLoop& loop, std::shared_ptr<Layer> head,
                       std::shared_ptr<ParentStack> parents)
    : loop_(loop),
      head_(std::move(head)),
      parents_(std::move(parents)),
      head_reads_(std::make_shared<LayerReads>(head_->info().path)),
      write_lock_(loop) {
  MICA_CHECK(depth() <= kChainDepthMax);
  const LayerInfo& head_info = head_->info();
  cluster_bytes_ = std::max<uint32_t>(head_info.cluster_bytes, 1);
  read_block_bytes_ = std::max<uint32_t>(head_info.digest_block_bytes, 1);
  if (parents_ != nullptr) {
    read_block_bytes_ = std::max(read_block_bytes_, parents_->read_block_bytes());
  }
  info_.size = head_info.virtual_size;
  info_.block_bytes_preferred = std::max<uint32_t>(4096, cluster_bytes_);
  if (head_info.unmaps_quickly) info_.quick_zero_bytes = cluster_bytes_;
  info_.read_only = !head_info.writable;
}

ImageChain::ImageChain(EventLoop& loop, const std::vector<std::shared_ptr<Layer>>& layers)
    : ImageChain(loop, layers.front(), StackOf(loop, layers)) {}

ImageChain::ImageChain(EventLoop& loop, std::vector<std::unique_ptr<Layer>> layers)
    : ImageChain(loop, Shared(std::move(layers))) {}

ImageChain::~ImageChain() = default;

std::vector<std::shared_ptr<const LayerReads>> ImageChain::LayersRead() const {
  std::vector<std::shared_ptr<const LayerReads>> all{head_reads_};
  if (parents_ != nullptr) {
    all.insert(all.end(), parents_->reads().begin(), parents_->reads().end());
  }
  return all;
}

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
  co_return co_await head_->Flush();
}

Async<void> ImageChain::MakeDurable(Durability durability) {
  if (durability == Durability::kVolatile) co_return Result<void>();
  co_return co_await head_->Flush();
}

uint64_t ImageChain::ParentEnd() const noexcept {
  if (parents_ == nullptr) return 0;
  return std::min(parents_->size(), head_->info().parent_bytes);
}

Async<void> ImageChain::Close() {
  Result<void> closed;
  // One that is only read may have other users, and needs no end.
  if (!info_.read_only) closed = co_await head_->Close();
  if (parents_ != nullptr) {
    // What the index has learnt helps the next process, and whoever cannot save it does without.
    static_cast<void>(co_await parents_->SaveIndex());
  }
  co_return closed;
}

}  // namespace mica
