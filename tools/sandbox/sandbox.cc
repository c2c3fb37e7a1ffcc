// SPDX-License-Identifier: Apache-2.0
#include "tools/sandbox/sandbox.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

namespace mica {

namespace {

struct ReleaseFilter {
  void operator()(void* filter) const noexcept { seccomp_release(filter); }
};

Error SeccompError(int result, std::string_view what) {
  return ErrnoError(-result, fmt::format("seccomp: {}", what));
}

Result<void> Limit(decltype(RLIMIT_AS) resource, uint64_t value, const char* what) {
  const rlimit limit{value, value};
  if (::setrlimit(resource, &limit) == 0) return {};
  return ErrnoError(errno, fmt::format("limit {}", what));
}

}  // namespace

Result<void> ForbidNewPrivileges() {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) return {};
  return ErrnoError(errno, "no new privileges");
}

Result<void> AllowOnlyCalls(std::span<const char* const> names) {
  const std::unique_ptr<void, ReleaseFilter> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (filter == nullptr) return Error{Errc::kIo, "seccomp: out of memory"};
  // Threads that exist already (of an I/O engine) are bound as well.
  if (const int result = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1); result != 0) {
    return SeccompError(result, "all threads");
  }
  for (const char* const name : names) {
    const int call = seccomp_syscall_resolve_name(name);
    if (call < 0) continue;
    if (const int result = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 0); result != 0) {
      return SeccompError(result, name);
    }
  }
  if (const int result = seccomp_load(filter.get()); result != 0) {
    return SeccompError(result, "load");
  }
  return {};
}

Result<void> KeepOnlyCapabilities(std::span<const int> capabilities) {
  // glibc has no wrappers for these.
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> sets{};
  for (const int capability : capabilities) {
    const uint32_t bit = CAP_TO_MASK(capability);
    sets.at(CAP_TO_INDEX(capability)).effective |= bit;
    sets.at(CAP_TO_INDEX(capability)).permitted |= bit;
  }
  if (::syscall(SYS_capset, &header, sets.data()) == 0) return {};
  return ErrnoError(errno, "drop capabilities");
}

Result<void> DropCapabilities() {
  if (::geteuid() != 0) return {};
  constexpr std::array kReading = {CAP_DAC_READ_SEARCH};
  if (KeepOnlyCapabilities(kReading)) return {};
  // Where root has not even that one (a container), none is kept.
  return KeepOnlyCapabilities({});
}

Result<void> SetLimits(const ProcessLimits& limits) {
  TRY(Limit(RLIMIT_CORE, 0, "core dumps"));
  if (limits.memory_bytes != 0 && MemoryCanBeLimited()) {
    TRY(Limit(RLIMIT_AS, limits.memory_bytes, "memory"));
  }
  if (limits.cpu_seconds != 0) TRY(Limit(RLIMIT_CPU, limits.cpu_seconds, "processor time"));
  return {};
}

bool MemoryCanBeLimited() noexcept {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  return true;
#endif
}

Result<void> DieWith(int parent) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) {
    return ErrnoError(errno, "end with the parent process");
  }
  if (::getppid() == parent) return {};
  return Error{Errc::kCancelled, "the process that started this one has ended"};
}

}  // namespace mica
