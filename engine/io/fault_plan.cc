// SPDX-License-Identifier: Apache-2.0
#include "engine/io/fault_plan.h"

#include <fmt/format.h>

#include <cerrno>

#include "engine/io/power_cut.h"

namespace mica {

std::string_view HostCallName(HostCallKind kind) noexcept {
  switch (kind) {
    case HostCallKind::kOpen:
      return "open";
    case HostCallKind::kCreate:
      return "create";
    case HostCallKind::kStat:
      return "stat";
    case HostCallKind::kLink:
      return "link";
    case HostCallKind::kRename:
      return "rename";
    case HostCallKind::kRemove:
      return "remove";
    case HostCallKind::kSyncDirectory:
      return "sync directory";
    case HostCallKind::kSize:
      return "size of";
    case HostCallKind::kRead:
      return "read";
    case HostCallKind::kWrite:
      return "write";
    case HostCallKind::kWriteZeroes:
      return "write zeroes";
    case HostCallKind::kDeallocate:
      return "deallocate";
    case HostCallKind::kAllocate:
      return "allocate";
    case HostCallKind::kResize:
      return "resize";
    case HostCallKind::kSync:
      return "sync";
  }
  return "call";
}

void FaultPlan::DelayCalls(uint64_t seed, uint64_t turns_max) noexcept {
  prng_ = Prng(seed);
  turns_max_ = turns_max;
}

HostCall FaultPlan::Begin(HostCallKind kind, std::string_view path, ByteRange range) noexcept {
  return {++calls_made_, kind, path, range};
}

std::optional<Fault> FaultPlan::FaultFor(const HostCall& call) {
  if (power_is_off_) return Fault{.sys_errno = EIO};
  if (const auto found = faults_.find(call.number); found != faults_.end()) return found->second;
  if (fault_hook_) return fault_hook_(call);
  return std::nullopt;
}

void FaultPlan::Changed(const HostCall& call) {
  if (change_hook_ && !power_is_off_) change_hook_(call);
}

uint64_t FaultPlan::PartLength(uint64_t length) noexcept {
  const uint64_t sectors = length / kSectorBytes;
  if (!delays() || sectors < 2) return length;
  return (prng_.Below(sectors) + 1) * kSectorBytes;
}

Error InjectedError(const HostCall& call, const Fault& fault) {
  Error error =
      ErrnoError(fault.sys_errno, fmt::format("{} {}", HostCallName(call.kind), call.path));
  error.message += fmt::format(" (injected at call {})", call.number);
  return error;
}

}  // namespace mica
