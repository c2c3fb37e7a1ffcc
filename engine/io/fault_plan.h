// SPDX-License-Identifier: Apache-2.0
// FaultPlan: what happens to the calls a test makes through a MemoryHost. It numbers every call,
// fails the chosen ones, lets a test look (and cut the power) after every change, and can make
// calls finish later and in another order. Everything follows from seeds and numbers, so a failure
// replays.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string_view>

#include "engine/base/error.h"
#include "engine/base/prng.h"
#include "engine/base/range.h"

namespace mica {

enum class HostCallKind : uint8_t {
  kOpen,
  kCreate,
  kStat,
  kRename,
  kLink,
  kRemove,
  kSyncDirectory,
  kSize,
  kRead,
  kWrite,
  kWriteZeroes,  // ZeroMode::kAllocate
  kDeallocate,   // ZeroMode::kDeallocate
  kAllocate,
  kResize,
  kSync,
};

std::string_view HostCallName(HostCallKind kind) noexcept;

struct HostCall {
  uint64_t number = 0;  // 1 is the host's first call
  HostCallKind kind = HostCallKind::kOpen;
  std::string_view path;  // kRename, kLink: the old name
  ByteRange range;        // kResize: offset is the new size
};

struct Fault {
  int sys_errno = 5;           // EIO
  uint64_t partial_bytes = 0;  // of a write, zeroing or allocation: done before the failure
};

class FaultPlan {
 public:
  using FaultHook = std::function<std::optional<Fault>(const HostCall&)>;
  using ChangeHook = std::function<void(const HostCall&)>;

  // Calls begun so far.
  [[nodiscard]] uint64_t calls_made() const noexcept { return calls_made_; }
  // Fails the call with this number, once.
  void FailCall(uint64_t number, Fault fault) { faults_[number] = fault; }
  // Asked at every call after the numbered faults.
  void SetFaultHook(FaultHook hook) { fault_hook_ = std::move(hook); }
  // Called after every change of content, size, names or durability, before the call completes.
  void SetChangeHook(ChangeHook hook) { change_hook_ = std::move(hook); }
  // From now on every call fails with kIo and changes nothing.
  void PowerOff() noexcept { power_is_off_ = true; }
  // Calls take 0 to `turns_max` turns of the loop before and again after they act, and long reads
  // and writes act in two parts. 0 turns it off.
  void DelayCalls(uint64_t seed, uint64_t turns_max) noexcept;

  // The rest is MemoryHost's side.
  HostCall Begin(HostCallKind kind, std::string_view path, ByteRange range) noexcept;
  [[nodiscard]] std::optional<Fault> FaultFor(const HostCall& call);
  void Changed(const HostCall& call);
  [[nodiscard]] bool delays() const noexcept { return turns_max_ > 0; }
  [[nodiscard]] uint64_t DelayTurns() noexcept { return prng_.Below(turns_max_ + 1); }
  // The length of the next part of an action on `length` bytes: all of it without delays.
  [[nodiscard]] uint64_t PartLength(uint64_t length) noexcept;

 private:
  uint64_t calls_made_ = 0;
  std::map<uint64_t, Fault> faults_;
  FaultHook fault_hook_;
  ChangeHook change_hook_;
  bool power_is_off_ = false;
  Prng prng_{0};
  uint64_t turns_max_ = 0;
};

// "write /disk: Input/output error (injected at call 17)"
Error InjectedError(const HostCall& call, const Fault& fault);

}  // namespace mica
