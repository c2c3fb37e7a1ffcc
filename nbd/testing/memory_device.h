// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <map>
#include <optional>
#include <vector>

#include "engine/async/async_mutex.h"
#include "engine/block_device.h"

namespace mica::nbd {

// A sparse disk in memory for tests and benchmarks, of any size up to 2^64 - 1: notes what was
// asked of it, fails and delays on request.
class MemoryDevice final : public BlockDevice {
 public:
  enum class Operation : uint8_t { kRead, kWrite, kWriteZeroes, kDiscard, kFlush, kStatus };
  struct Call {
    Operation operation{};
    ByteRange range;
    Durability durability = Durability::kVolatile;
    ZeroHint hint = ZeroHint::kMayUnmap;
    friend bool operator==(const Call&, const Call&) = default;
  };

  MemoryDevice(EventLoop& loop, const DeviceInfo& info) : info_(info), gate_(loop) {}

  [[nodiscard]] const DeviceInfo& info() const noexcept override { return info_; }
  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override;
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override;
  Async<void> Discard(ByteRange range, Durability durability) override;
  Async<void> Flush() override;
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override;

  // Every later call fails like this.
  void FailWith(std::optional<Error> error) { failure_ = std::move(error); }
  // Calls wait between Hold and LetGo.
  void Hold() noexcept { held_ = true; }
  void LetGo() {
    held_ = false;
    gate_.NotifyAll();
  }
  [[nodiscard]] size_t waiting() const noexcept { return waiting_; }

  // What was asked, in order; kept only after KeepCalls.
  void KeepCalls() noexcept { keep_calls_ = true; }
  [[nodiscard]] const std::vector<Call>& calls() const noexcept { return calls_; }

 private:
  static constexpr uint64_t kBlockBytes = 4096;
  using Block = std::array<std::byte, kBlockBytes>;

  Async<void> Enter(Call call);
  void Zero(ByteRange range);

  DeviceInfo info_;
  std::map<uint64_t, Block> blocks_;  // by offset / kBlockBytes; what is not here reads zero
  std::optional<Error> failure_;
  WaitList gate_;
  size_t waiting_ = 0;
  bool held_ = false;
  bool keep_calls_ = false;
  std::vector<Call> calls_;
};

}  // namespace mica::nbd
