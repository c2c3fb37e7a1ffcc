// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "nbd/in_flight_budget.h"
#include "nbd/reply.h"
#include "nbd/stream.h"

namespace mica::nbd {

// Sends replies in the order they are added, as many as are ready in one vectored call. Memory is
// bounded by the budget the replies were taken from. Loop thread only; idle() before destruction.
class ReplySender {
 public:
  // `on_idle` is called whenever nothing is left to send.
  ReplySender(EventLoop& loop, Stream& stream, InFlightBudget& budget,
              std::function<void()> on_idle);

  // Where replies are put; Commit then makes them known. The two steps let one request add several
  // messages without a copy.
  [[nodiscard]] std::vector<Reply>& queue() noexcept { return queue_; }
  // Sends what is queued on the next turn of the loop, together with whatever joins it until then,
  // or at the coming Release.
  void Commit();

  // Between Hold and Release the caller runs without suspending: everything committed meanwhile
  // leaves at Release, in one call and without a turn of the loop.
  void Hold() noexcept { held_ = true; }
  void Release();

  // Since when the batch now being sent is being sent.
  [[nodiscard]] std::optional<EventLoop::Time> sending_since() const noexcept {
    return sending_since_;
  }

  [[nodiscard]] bool idle() const noexcept {
    return !sending_ && !scheduled_ && next_ == queue_.size();
  }

 private:
  // One call takes at most this much, so that the budget of what is out is given back soon.
  static constexpr size_t kBatchRepliesMax = 256;
  static constexpr size_t kBatchBytesMax = 512u << 10;

  Task<void> SendOnNextTurn();
  Task<void> SendQueued();
  void TakeBatch();
  void FinishBatch();

  EventLoop& loop_;
  Stream& stream_;
  InFlightBudget& budget_;
  std::function<void()> on_idle_;
  std::vector<Reply> queue_;  // from next_ on
  size_t next_ = 0;
  std::optional<EventLoop::Time> sending_since_;
  std::vector<Reply> batch_;
  std::vector<ConstBytes> parts_;
  bool held_ = false;
  bool scheduled_ = false;
  bool sending_ = false;
  bool broken_ = false;  // the stream failed: replies are dropped
};

}  // namespace mica::nbd
