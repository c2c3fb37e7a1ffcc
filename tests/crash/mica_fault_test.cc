// SPDX-License-Identifier: Apache-2.0
// The n-th host call fails, for every n of a workload and in several ways: the guest gets an error,
// nothing acknowledged is lost, the image stays valid, and once the cause is gone it goes on.
//
// A failure prints its seed and call. MICA_FAULT_SEED=N with MICA_FAULT_CALL=K repeats one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstdlib>

#include "tests/crash/mica_workload.h"

namespace mica::testing {
namespace {

struct FaultKind {
  const char* name;
  Fault fault;
  bool for_good;  // every later call fails too: the disk has died
};

constexpr FaultKind kKinds[] = {
    {"EIO", {.sys_errno = EIO}, false},
    {"ENOSPC", {.sys_errno = ENOSPC}, false},
    {"EIO after 1536 bytes", {.sys_errno = EIO, .partial_bytes = 1536}, false},
    {"ENOSPC after 4096 bytes", {.sys_errno = ENOSPC, .partial_bytes = 4096}, false},
    {"dead disk", {.sys_errno = EIO}, true},
};

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// Returns false when the workload ended before the call was made.
bool RunOne(uint64_t seed, uint64_t number, const FaultKind& kind, std::string& failure) {
  WorkloadOptions options;
  options.seed = seed;
  options.phases = 2;
  options.workers = 2;
  options.operations = 14;
  options.snapshots = seed % 2 == 0;
  Workload workload(options);
  workload.Create();
  FaultPlan& faults = workload.host().faults();
  const uint64_t call = faults.calls_made() + number;
  faults.SetFaultHook([&, dead = false](const HostCall& made) mutable -> std::optional<Fault> {
    dead |= made.number == call;
    if (made.number == call || (dead && kind.for_good)) return kind.fault;
    return std::nullopt;
  });
  workload.Run(true);
  const bool reached = faults.calls_made() >= call;
  failure = workload.failure();
  for (uint64_t cut = 0; cut < 3 && failure.empty(); ++cut) {
    const PowerCutPolicy policy = cut == 0 ? PowerCutPolicy{PowerCutKind::kLoseAll, 0}
                                           : PowerCutPolicy::FromSeed(seed * 1000 + number + cut);
    MemoryLoop loop;
    MemoryHost host(loop, {}, workload.host().disk().AfterPowerCut(policy));
    failure = VerifyWithSnapshots(host, workload.model(), workload.snapshots(), cut != 1);
    if (!failure.empty()) failure = fmt::format("power cut {}: {}", cut, failure);
  }
  faults.SetFaultHook({});
  if (failure.empty()) {
    workload.RunToCleanEnd();
    failure = workload.failure();
  }
  return reached;
}

class MicaFault : public ::testing::TestWithParam<FaultKind> {};

TEST_P(MicaFault, AtEveryCallLosesNothingAcknowledged) {
  const uint64_t only_seed = FromEnvironment("MICA_FAULT_SEED", 0);
  const uint64_t only_call = FromEnvironment("MICA_FAULT_CALL", 0);
#if defined(__SANITIZE_ADDRESS__)
  constexpr uint64_t kSeeds = 1;
#else
  constexpr uint64_t kSeeds = 4;
#endif
  uint64_t runs = 0;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    if (only_seed != 0 && seed != only_seed) continue;
    for (uint64_t number = 1;; ++number) {
      if (only_call != 0 && number != only_call) continue;
      std::string failure;
      const bool reached = RunOne(seed, number, GetParam(), failure);
      ASSERT_EQ(failure, "") << GetParam().name << " at call " << number
                             << ", to repeat: MICA_FAULT_SEED=" << seed
                             << " MICA_FAULT_CALL=" << number;
      ++runs;
      if (!reached || number == only_call) break;
    }
  }
  fmt::print("{}: {} runs\n", GetParam().name, runs);
}

INSTANTIATE_TEST_SUITE_P(Kinds, MicaFault, ::testing::ValuesIn(kKinds));

}  // namespace
}  // namespace mica::testing
