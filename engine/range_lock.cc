// SPDX-License-Identifier: Apache-2.0
#include "engine/range_lock.h"

#include <algorithm>

namespace mica {

bool RangeLock::WaitsForEarlier(Entries::const_iterator entry) const {
  return std::any_of(entries_.begin(), entry,
                     [&](const Entry& earlier) { return earlier.range.Overlaps(entry->range); });
}

RangeLock::Entries::iterator RangeLock::Enqueue(ByteRange range) {
  entries_.push_back(Entry{range, false, {}});
  const auto entry = std::prev(entries_.end());
  entry->granted = !WaitsForEarlier(entry);
  return entry;
}

void RangeLock::Release(Entries::iterator entry) {
  const ByteRange released = entry->range;
  for (auto later = entries_.erase(entry); later != entries_.end(); ++later) {
    if (later->granted || !later->range.Overlaps(released) || WaitsForEarlier(later)) continue;
    later->granted = true;
    loop_.Post(later->waiter);
  }
}

}  // namespace mica
