// SPDX-License-Identifier: Apache-2.0
// What a server counts about its exports. One thread writes (the loop of the export's shard), any
// thread reads: a reader may see one number before and another after a request.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>

#include "engine/base/counter.h"
#include "nbd/wire.h"

namespace mica::nbd {

// Bucket i counts what took at most UpperBound(i) and more than UpperBound(i - 1); the last one all
// the rest.
class LatencyHistogram {
 public:
  using Time = std::chrono::nanoseconds;
  static constexpr size_t kBuckets = 22;  // 16 µs, 33 µs, … 17 s, more

  static constexpr Time UpperBound(size_t bucket) noexcept {
    return Time(int64_t{1} << (kSmallestBits + bucket));
  }
  void Add(Time took) noexcept {
    const auto nanoseconds = static_cast<uint64_t>(std::max<int64_t>(took.count(), 1));
    const size_t bits = static_cast<size_t>(std::bit_width(nanoseconds - 1));
    const size_t bucket = bits <= kSmallestBits ? 0 : bits - kSmallestBits;
    buckets_[std::min(bucket, kBuckets - 1)].Add(1);
    sum_.Add(nanoseconds);
  }
  [[nodiscard]] uint64_t count(size_t bucket) const noexcept { return buckets_[bucket].value(); }
  [[nodiscard]] uint64_t sum_ns() const noexcept { return sum_.value(); }

 private:
  static constexpr size_t kSmallestBits = 14;
  std::array<Counter, kBuckets> buckets_;
  Counter sum_;
};

struct CommandStats {
  Counter requests;  // answered, whatever the answer
  Counter errors;    // answered with an error
  Counter bytes;     // of successful requests
  LatencyHistogram latency;
};

struct ExportStats {
  static constexpr size_t kCommands = 9;  // by number; the last one counts those that do not exist
  std::array<CommandStats, kCommands> commands;
  Counter connections;  // ever made

  CommandStats& of(Command command) noexcept { return commands[IndexOf(command)]; }
  [[nodiscard]] const CommandStats& of(Command command) const noexcept {
    return commands[IndexOf(command)];
  }

 private:
  static size_t IndexOf(Command command) noexcept {
    return std::min<size_t>(std::to_underlying(command), kCommands - 1);
  }
};

}  // namespace mica::nbd
