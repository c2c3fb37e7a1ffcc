// SPDX-License-Identifier: Apache-2.0
#include "engine/cache_limit.h"

namespace mica {

void CacheLimit::Update(Cache& cache, size_t bytes) {
  size_t& known = uses_[&cache];
  bytes_ = bytes_ - known + bytes;
  known = bytes;
  if (bytes_ > bytes_max_ && !trimming_) Trim();
}

void CacheLimit::Remove(Cache& cache) {
  const auto found = uses_.find(&cache);
  if (found == uses_.end()) return;
  bytes_ -= found->second;
  uses_.erase(found);
}

// Once around at most: what is left above the limit then cannot be given back.
void CacheLimit::Trim() {
  trimming_ = true;
  const size_t share = bytes_max_ / 2 / uses_.size();
  const size_t goal = bytes_max_ / 4 * 3;
  auto next = uses_.upper_bound(last_trimmed_);
  for (size_t left = uses_.size(); left > 0 && bytes_ > goal; --left) {
    if (next == uses_.end()) next = uses_.begin();
    last_trimmed_ = next->first;
    if (next->second > share) next->first->TrimTo(share);
    ++next;
  }
  trimming_ = false;
}

}  // namespace mica
