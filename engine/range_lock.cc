// SPDX-License-Identifier: Apache-2.0
#include "engine/range_lock.h"

#include <algorithm>

namespace mica {

void RangeLock::Hold(ByteRange range) {
  if (!range.empty()) held_.emplace(range.offset, range.end());
}

bool RangeLock::IsHeld(ByteRange range) const {
  const auto next = held_.lower_bound(range.offset);
  if (next != held_.end() && next->first < range.end()) return true;
  return next != held_.begin() && std::prev(next)->second > range.offset;
}

bool RangeLock::WaitsForEarlier(ByteRange range, Waiters::const_iterator end) const {
  return std::any_of(waiters_.begin(), end,
                     [&](const Waiter& earlier) { return earlier.range.Overlaps(range); });
}

RangeLock::Waiters::iterator RangeLock::Enqueue(ByteRange range) {
  const bool waits = !range.empty() && (IsHeld(range) || WaitsForEarlier(range, waiters_.end()));
  if (waits) return waiters_.insert(waiters_.end(), Waiter{range, {}});
  Hold(range);
  return waiters_.end();
}

void RangeLock::Release(ByteRange released) {
  if (released.empty()) return;
  held_.erase(released.offset);
  // When all of it is held again, whoever overlaps it has somebody to wait for.
  uint64_t free_bytes = released.length;
  for (auto waiter = waiters_.begin(); waiter != waiters_.end() && free_bytes > 0;) {
    const ByteRange range = waiter->range;
    const bool goes_on =
        range.Overlaps(released) && !IsHeld(range) && !WaitsForEarlier(range, waiter);
    if (!goes_on) {
      ++waiter;
      continue;
    }
    Hold(range);
    free_bytes -= Intersect(range, released).length;
    loop_.Post(waiter->handle);
    waiter = waiters_.erase(waiter);
  }
}

}  // namespace mica
