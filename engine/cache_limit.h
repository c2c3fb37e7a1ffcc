// SPDX-License-Identifier: Apache-2.0
// CacheLimit: one limit on the memory of many caches that can each give some back: the maps of all
// images of a process. Busy ones may have much while others have little; when the sum is above the
// limit, those with more than a fair share are trimmed in turn. Loop thread only.
#pragma once

#include <cstddef>
#include <map>

namespace mica {

class CacheLimit {
 public:
  class Cache {
   public:
    Cache() = default;
    Cache(const Cache&) = delete;
    Cache& operator=(const Cache&) = delete;
    virtual ~Cache() = default;

    // Gives back what it can do without until it has about `bytes`, and tells Update.
    virtual void TrimTo(size_t bytes) noexcept = 0;
  };

  explicit CacheLimit(size_t bytes_max) : bytes_max_(bytes_max) {}
  CacheLimit(const CacheLimit&) = delete;
  CacheLimit& operator=(const CacheLimit&) = delete;

  // `cache` has so many bytes now; from the first call to Remove it takes part. May trim any cache,
  // this one too, before it returns.
  void Update(Cache& cache, size_t bytes);
  void Remove(Cache& cache);

  [[nodiscard]] size_t bytes() const noexcept { return bytes_; }

 private:
  using Uses = std::map<Cache*, size_t>;

  void Trim();

  const size_t bytes_max_;
  Uses uses_;
  size_t bytes_ = 0;
  Cache* last_trimmed_ = nullptr;
  bool trimming_ = false;
};

}  // namespace mica
