// SPDX-License-Identifier: Apache-2.0
// What the requests of all connections together may hold in memory, from the header to the last
// byte of the reply. MemoryBudget is the process's, shared by all loops; each loop draws on it
// through its LoopBudget, in steps, so that hardly a request touches what is shared.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "engine/async/async_mutex.h"
#include "nbd/export_table.h"

namespace mica::nbd {

class LoopBudget;

// Any thread.
class MemoryBudget {
 public:
  explicit MemoryBudget(uint64_t bytes_max) : bytes_max_(bytes_max) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;

  [[nodiscard]] uint64_t bytes() const noexcept { return taken_.load(std::memory_order_relaxed); }

 private:
  friend class LoopBudget;
  bool TryTake(uint64_t bytes) noexcept;
  // Without asking: for what must never wait.
  void Force(uint64_t bytes) noexcept { taken_.fetch_add(bytes); }
  void Return(uint64_t bytes);
  void Add(LoopBudget& loop);
  void Remove(LoopBudget& loop);
  void BeginWait();

  const uint64_t bytes_max_;
  std::atomic<uint64_t> taken_ = 0;
  std::atomic<bool> somebody_waits_ = false;
  std::mutex mutex_;
  std::vector<LoopBudget*> loops_;  // guarded by mutex_
};

// Loop thread only. Nobody may be waiting when it is destroyed, and no other loop may still be
// returning memory.
class LoopBudget {
 public:
  // The connections of one export take at most `export_bytes_max` together. `on_pressure` is called
  // on the loop when anybody, on whichever loop, begins to wait.
  LoopBudget(EventLoop& loop, MemoryBudget& shared, uint64_t export_bytes_max,
             std::function<void()> on_pressure);
  LoopBudget(const LoopBudget&) = delete;
  LoopBudget& operator=(const LoopBudget&) = delete;
  ~LoopBudget();

  // A connection that has nothing in flight is never made to wait for requests up to this: whatever
  // others do, every client gets something done.
  static constexpr uint64_t kAlwaysAdmittedBytes = 132u << 10;

  enum class Holder : uint8_t { kHasNothing, kHasSome };
  bool TryTake(ServedExport& by, uint64_t bytes, Holder holder);
  void Release(ServedExport& by, uint64_t bytes);

  // Completes some time after memory was released: try again.
  auto Wait() noexcept { return released_.Wait(); }

  // Whether anybody, on whichever loop, waits.
  [[nodiscard]] bool under_pressure() const noexcept;

 private:
  friend class MemoryBudget;
  static constexpr uint64_t kStepBytes = 1u << 20;

  bool Reserve(uint64_t bytes);

  EventLoop& loop_;
  MemoryBudget& shared_;
  const uint64_t export_bytes_max_;
  std::function<void()> on_pressure_;
  uint64_t reserved_ = 0;  // of the shared budget
  uint64_t used_ = 0;      // of what is reserved
  WaitList released_;
};

}  // namespace mica::nbd
