// SPDX-License-Identifier: Apache-2.0
// The quota of an image: what it stops, what it never stops, and that it follows a change at once.
#include <cerrno>

#include "engine/space_control.h"
#include "formats/mica/testing/image_fixture.h"

namespace mica {
namespace {

using testing::kMiB;

class Quota : public testing::ImageFixture {
 protected:
  SpaceControl& Space() { return *chain_->layer(0).controls().space; }
  void SetQuota(uint64_t hard, uint64_t soft = 0) {
    const Result<void> set = SyncWait(loop_, Space().SetQuota(SpaceQuota{soft, hard}));
    ASSERT_TRUE(set) << set.error().message;
  }
  // Writes MiB after MiB; returns how many went in.
  uint64_t Fill(uint64_t from, uint64_t to) {
    for (uint64_t i = from; i < to; ++i) {
      const Result<void> written = TryWrite(i * kMiB, kMiB, i);
      if (written) continue;
      EXPECT_EQ(written.error().code, Errc::kNoSpace) << written.error().message;
      EXPECT_EQ(written.error().sys_errno, EDQUOT);
      return i;
    }
    return to;
  }
};

TEST_F(Quota, StopsTheImageBeforeTheHostFeelsIt) {
  Create(64 * kMiB, {{"quota", "16M"}});
  Open();
  const uint64_t full = Fill(0, 64);
  EXPECT_GE(full, 12u);
  EXPECT_LE(HostBytes(), 16 * kMiB);
  for (uint64_t i = 0; i < full; ++i) Expect(i * kMiB, kMiB, i);
  Close();
  EXPECT_LE(HostBytes(), 16 * kMiB);
  Open();
  EXPECT_EQ(Space().quota(), (SpaceQuota{0, 16 * kMiB}));
  EXPECT_EQ(Fill(full, full + 1), full);
  Close();
}

TEST_F(Quota, AtTheLimitRewritingTrimmingFlushingAndClosingGoOn) {
  Create(64 * kMiB, {{"quota", "16M"}});
  Open();
  const uint64_t full = Fill(0, 64);
  for (uint64_t round = 0; round < 4; ++round) {
    for (uint64_t i = 0; i < full; ++i) Write(i * kMiB, 256 * 1024, 100 * round + i);
    Flush();
  }
  EXPECT_LE(HostBytes(), 18 * kMiB);
  Close();
  Open();
  for (uint64_t i = 0; i < full; ++i) Expect(i * kMiB, 256 * 1024, 300 + i);
  for (uint64_t i = 0; i < full; ++i) Write(i * kMiB, 256 * 1024, 500 + i);
  Discard({0, 4 * kMiB});
  Flush();
  EXPECT_GE(Fill(30, 33), 33u) << "what was trimmed can be used again";
  Close();
  EXPECT_EQ(Check().corruptions, 0u);
}

TEST_F(Quota, AChangeIsInForceAtOnceAndDurable) {
  Create(64 * kMiB);
  Open();
  EXPECT_EQ(Space().quota(), SpaceQuota{});
  EXPECT_EQ(Fill(0, 8), 8u);
  SetQuota(4 * kMiB);  // less than there is
  EXPECT_EQ(Fill(8, 9), 8u);
  Write(0, kMiB, 0);  // a rewrite
  SetQuota(14 * kMiB);
  const uint64_t next = Fill(8, 40);
  EXPECT_GT(next, 9u);
  EXPECT_LT(next, 14u);
  SetQuota(0);
  EXPECT_EQ(Fill(next, 20), 20u) << "goes on without reopening";
  SetQuota(40 * kMiB, 30 * kMiB);
  Drop();  // no close: the change alone has made it durable
  Open();
  EXPECT_EQ(Space().quota(), (SpaceQuota{30 * kMiB, 40 * kMiB}));
  for (uint64_t i = 0; i < 20; ++i) Expect(i * kMiB, kMiB, i);
  EXPECT_FALSE(SyncWait(loop_, Space().SetQuota(SpaceQuota{50, 40})));
  Close();
}

TEST_F(Quota, AFailedChangeLeavesTheOldOne) {
  Create(64 * kMiB, {{"quota", "16M"}});
  Open();
  Write(0, kMiB, 1);
  host_.faults().SetFaultHook([](const HostCall& call) -> std::optional<Fault> {
    if (call.kind == HostCallKind::kWrite && call.range.offset < 8192) return Fault{};
    return std::nullopt;
  });
  EXPECT_FALSE(SyncWait(loop_, Space().SetQuota(SpaceQuota{0, kMiB})));
  EXPECT_EQ(Space().quota(), (SpaceQuota{0, 16 * kMiB}));
  host_.faults().SetFaultHook({});
  Drop();
  Open();
  EXPECT_EQ(Space().quota(), (SpaceQuota{0, 16 * kMiB}));
  Close();
}

TEST_F(Quota, MarksAreTold) {
  Create(64 * kMiB, {{"quota", "20M"}, {"quota_soft", "10M"}});
  Open();
  std::vector<std::string> told;
  Space().OnEvent([&](const SpaceEvent& event) {
    if (event.kind == SpaceEvent::Kind::kQuotaMark) told.push_back(std::to_string(event.percent));
    if (event.kind == SpaceEvent::Kind::kSoftQuota) told.emplace_back("soft");
    if (event.kind == SpaceEvent::Kind::kNoSpace) told.emplace_back("full");
  });
  const uint64_t full = Fill(0, 64);
  EXPECT_EQ(Fill(full, full + 1), full);
  EXPECT_EQ(told, (std::vector<std::string>{"soft", "80", "90", "full"}));
  Close();
}

TEST_F(Quota, UsageTellsWhereItGoes) {
  Create(64 * kMiB);
  Open();
  EXPECT_EQ(Fill(0, 8), 8u);
  Discard({0, 2 * kMiB});
  Flush();
  const SpaceUsage usage = SyncWait(loop_, Space().Usage()).value();
  EXPECT_EQ(usage.own_bytes, 6 * kMiB);
  EXPECT_EQ(usage.snapshot_bytes, 0u);
  EXPECT_GE(usage.metadata_bytes, kMiB);
  EXPECT_LE(usage.metadata_bytes, kMiB + 256 * 1024);
  Close();
}

TEST(QuotaOptions, AreChecked) {
  MemoryLoop loop;
  MemoryHost host(loop);
  const MicaFormat format;
  const auto create = [&](std::map<std::string, std::string> extra) {
    CreateOptions options;
    options.virtual_size = kMiB;
    options.extra = std::move(extra);
    const Result<void> made = SyncWait(loop, format.Create(host, "/x", options));
    return made ? std::string() : made.error().message;
  };
  EXPECT_NE(create({{"quota", "0"}}), "");
  EXPECT_NE(create({{"quota", "many"}}), "");
  EXPECT_NE(create({{"quota", "10M"}, {"quota_soft", "11M"}}), "");
  EXPECT_EQ(create({{"quota", "none"}, {"quota_soft", "11M"}}), "");
}

}  // namespace
}  // namespace mica
