// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/generations.h"

#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/io/memory_host.h"

namespace mica::rebase {
namespace {

const std::filesystem::path kVm = "pool/vm.mica";
const std::filesystem::path kPrepared = "pool/vm.mica.rebasing";

void Make(MemoryHost& host, const std::filesystem::path& path, std::string_view content) {
  auto file = SyncWait(host.loop(), host.CreateExclusive(path, OpenOptions{})).value();
  ASSERT_TRUE(SyncWait(host.loop(), file->Write(0, AsBytes(content))).has_value());
  ASSERT_TRUE(SyncWait(host.loop(), file->Sync()).has_value());
  ASSERT_TRUE(SyncWait(host.loop(), host.SyncDirectory("pool")).has_value());
}

std::string Text(const MemoryHost& host, const std::filesystem::path& path) {
  const auto content = host.Content(path);
  return content ? std::string(AsText(*content)) : "(none)";
}

TEST(Generations, SwitchKeepsTheOldAndRollBackKeepsTheNew) {
  MemoryLoop loop;
  MemoryHost host(loop);
  Make(host, kVm, "v1");
  Make(host, kPrepared, "v2");
  EXPECT_EQ(SyncWait(loop, SwitchTo(host, kVm, kPrepared)).value(), "pool/vm.mica.before-1");
  EXPECT_EQ(Text(host, kVm), "v2");
  EXPECT_EQ(Text(host, "pool/vm.mica.before-1"), "v1");
  EXPECT_EQ(Text(host, kPrepared), "(none)");

  const RolledBack undone = SyncWait(loop, RollBack(host, kVm)).value();
  EXPECT_EQ(Text(host, kVm), "v1");
  EXPECT_EQ(undone.undone, "pool/vm.mica.undone-1");
  EXPECT_EQ(Text(host, undone.undone), "v2");
  EXPECT_EQ(SyncWait(loop, RollBack(host, kVm)).error().code, Errc::kNotFound);
}

TEST(Generations, AnInterruptedSwitchIsNoGeneration) {
  MemoryLoop loop;
  MemoryHost host(loop);
  Make(host, kVm, "v1");
  ASSERT_TRUE(SyncWait(loop, host.Link(kVm, "pool/vm.mica.before-1")).has_value());
  EXPECT_EQ(SyncWait(loop, LastBackup(host, kVm)).error().code, Errc::kNotFound);
  Make(host, kPrepared, "v2");
  EXPECT_EQ(SyncWait(loop, SwitchTo(host, kVm, kPrepared)).value(), "pool/vm.mica.before-1");
  EXPECT_EQ(Text(host, kVm), "v2");
  EXPECT_EQ(Text(host, "pool/vm.mica.before-1"), "v1");
  EXPECT_EQ(Text(host, "pool/vm.mica.before-2"), "(none)");
}

TEST(Generations, CountOnFromTheHighestThatIsKept) {
  MemoryLoop loop;
  MemoryHost host(loop);
  Make(host, kVm, "v3");
  Make(host, "pool/vm.mica.before-2", "v2");  // 1 was confirmed and deleted
  Make(host, kPrepared, "v4");
  EXPECT_EQ(SyncWait(loop, LastBackup(host, kVm)).value(), "pool/vm.mica.before-2");
  EXPECT_EQ(SyncWait(loop, SwitchTo(host, kVm, kPrepared)).value(), "pool/vm.mica.before-3");
}

TEST(Generations, KeptDeltasAreThoseOfThisVmOnly) {
  MemoryLoop loop;
  MemoryHost host(loop);
  for (const char* const suffix :
       {"", ".before-2", ".before-10", ".undone-1", ".before-01", ".before-", ".before-3x",
        ".before-0", ".quarantine", "x.before-1", ".before-1.before-1", ".before-1001"}) {
    Make(host, kVm.string() + suffix, "delta");
  }
  const std::vector<std::filesystem::path> expected = {
      "pool/vm.mica.undone-1", "pool/vm.mica.before-2", "pool/vm.mica.before-10"};
  EXPECT_EQ(SyncWait(loop, KeptDeltas(host, kVm)).value(), expected);
}

TEST(Generations, APowerCutWhileDroppingLeavesTheNewest) {
  MemoryLoop loop;
  MemoryHost host(loop);
  Make(host, kVm, "v3");
  Make(host, "pool/vm.mica.before-1", "v1");
  Make(host, "pool/vm.mica.before-2", "v2");
  uint64_t cuts = 0;
  bool first_gone = false;
  host.faults().SetChangeHook([&](const HostCall&) {
    for (uint64_t seed = 0; seed < 50; ++seed) {
      const auto after = host.CrashImage(PowerCutPolicy::FromSeed(seed * 100 + ++cuts));
      EXPECT_EQ(Text(*after, kVm), "v3");
      const bool one = Text(*after, "pool/vm.mica.before-1") == "v1";
      EXPECT_TRUE(Text(*after, "pool/vm.mica.before-2") == "v2" || !one) << "seed " << seed;
      EXPECT_FALSE(first_gone && one) << "seed " << seed;
    }
  });
  const std::vector<std::filesystem::path> kept = SyncWait(loop, KeptDeltas(host, kVm)).value();
  ASSERT_EQ(kept.size(), 2u);
  for (const std::filesystem::path& file : kept) {
    ASSERT_TRUE(SyncWait(loop, DropKept(host, file)).has_value());
    first_gone = true;
  }
  EXPECT_GE(cuts, 100u);
  EXPECT_TRUE(SyncWait(loop, KeptDeltas(host, kVm)).value().empty());
}

TEST(Generations, AFailedSwitchLeavesTheOld) {
  for (uint64_t call = 1;; ++call) {
    MemoryLoop loop;
    MemoryHost host(loop);
    Make(host, kVm, "v1");
    Make(host, kPrepared, "v2");
    const uint64_t number = host.faults().calls_made() + call;
    host.faults().FailCall(number, Fault{});
    const auto switched = SyncWait(loop, SwitchTo(host, kVm, kPrepared));
    if (host.faults().calls_made() < number) break;  // all calls have had their turn
    if (!switched) {
      EXPECT_TRUE(Text(host, kVm) == "v1" || Text(host, "pool/vm.mica.before-1") == "v1") << call;
    }
    EXPECT_TRUE(Text(host, kVm) == "v1" || Text(host, kVm) == "v2") << call;
  }
}

TEST(Generations, APowerCutAnywhereLeavesOneWholeDeltaAndTheOldOne) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE(seed);
    MemoryLoop loop;
    MemoryHost host(loop);
    Make(host, kVm, "v1");
    Make(host, kPrepared, "v2");
    uint64_t cuts = 0;
    host.faults().SetChangeHook([&](const HostCall&) {
      const auto after = host.CrashImage(PowerCutPolicy::FromSeed(seed * 1000 + ++cuts));
      const std::string current = Text(*after, kVm);
      EXPECT_TRUE(current == "v1" || current == "v2") << current;
      if (current == "v2") {
        EXPECT_EQ(Text(*after, "pool/vm.mica.before-1"), "v1");
      }
    });
    ASSERT_TRUE(SyncWait(loop, SwitchTo(host, kVm, kPrepared)).has_value());
    EXPECT_GE(cuts, 4u);
  }
}

}  // namespace
}  // namespace mica::rebase
