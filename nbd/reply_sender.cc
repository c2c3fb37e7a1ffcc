// SPDX-License-Identifier: Apache-2.0
#include "nbd/reply_sender.h"

#include <utility>

namespace mica::nbd {

ReplySender::ReplySender(EventLoop& loop, Stream& stream, InFlightBudget& budget,
                         std::function<void()> on_idle)
    : loop_(loop), stream_(stream), budget_(budget), on_idle_(std::move(on_idle)) {}

void ReplySender::Commit() {
  if (held_ || sending_ || scheduled_) return;
  scheduled_ = true;
  loop_.Spawn(SendOnNextTurn());
}

void ReplySender::Release() {
  held_ = false;
  if (!sending_ && next_ != queue_.size()) loop_.Spawn(SendQueued());
}

Task<void> ReplySender::SendOnNextTurn() {
  co_await loop_.Yield();
  scheduled_ = false;
  if (!sending_) co_await SendQueued();
}

Task<void> ReplySender::SendQueued() {
  sending_ = true;
  while (next_ != queue_.size()) {
    TakeBatch();
    if (!broken_) {
      sending_since_ = loop_.Now();
      const Result<void> sent = co_await stream_.Send(parts_);
      if (!sent) {
        broken_ = true;
        stream_.Abort();
      }
      sending_since_.reset();
    }
    FinishBatch();
  }
  sending_ = false;
  on_idle_();
}

void ReplySender::TakeBatch() {
  size_t bytes = 0;
  while (next_ != queue_.size() && batch_.size() < kBatchRepliesMax && bytes < kBatchBytesMax) {
    batch_.push_back(std::move(queue_[next_++]));
    bytes += batch_.back().head_bytes + batch_.back().body.size();
  }
  if (next_ == queue_.size()) {
    queue_.clear();
    next_ = 0;
  }
  for (const Reply& reply : batch_) {
    parts_.push_back(ConstBytes(reply.head).first(reply.head_bytes));
    if (!reply.body.empty()) parts_.push_back(reply.body);
  }
}

void ReplySender::FinishBatch() {
  parts_.clear();
  for (const Reply& reply : batch_) {
    if (reply.ends_request) budget_.Release(reply.cost_bytes);
  }
  batch_.clear();
}

}  // namespace mica::nbd
