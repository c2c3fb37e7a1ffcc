// SPDX-License-Identifier: Apache-2.0
// The small parts: exports, buffers, the budget, metadata queries and quoting.
#include <gtest/gtest.h>

#include "nbd/in_flight_budget.h"
#include "nbd/meta_context.h"
#include "nbd/testing/conversation.h"

namespace mica::nbd {
namespace {

TEST(ExportTable, TheEmptyNameMeansTheOnlyExport) {
  MemoryLoop loop;
  MemoryDevice device(loop, {.size = 1 << 20});
  ExportTable table;
  EXPECT_EQ(table.Find(""), nullptr);
  ASSERT_TRUE(table.Add(Export("a", device)));
  ASSERT_NE(table.Find(""), nullptr);
  EXPECT_EQ(table.Find("")->name, "a");
  ASSERT_TRUE(table.Add(Export("b", device)));
  EXPECT_EQ(table.Find(""), nullptr);
  ASSERT_TRUE(table.Add(Export("", device)));
  EXPECT_EQ(table.Find("")->name, "");
}

TEST(ExportTable, RefusesNamesItCannotServe) {
  MemoryLoop loop;
  MemoryDevice device(loop, {.size = 1 << 20});
  ExportTable table;
  ASSERT_TRUE(table.Add(Export(std::string(4096, 'x'), device)));
  EXPECT_EQ(table.Add(Export(std::string(4096, 'x'), device)).error().code, Errc::kExists);
  EXPECT_EQ(table.Add(Export(std::string(4097, 'x'), device)).error().code, Errc::kInvalidArgument);
  EXPECT_EQ(table.Add(Export(std::string("a\0b", 3), device)).error().code, Errc::kInvalidArgument);
}

TEST(ExportTable, CountsConnections) {
  MemoryLoop loop;
  MemoryDevice device(loop, {.size = 1 << 20});
  ExportTable table;
  Export few("few", device);
  few.connections_max = 1;
  ASSERT_TRUE(table.Add(std::move(few)));
  {
    const Result<ExportLease> first = table.Acquire("few");
    ASSERT_TRUE(first);
    EXPECT_EQ(table.Acquire("few").error().code, Errc::kLimit);
  }
  EXPECT_TRUE(table.Acquire("few"));
  const ExportLease kept = *table.Acquire("few");
  EXPECT_EQ(table.Remove("none"), nullptr);
  EXPECT_NE(table.Remove("few"), nullptr);
  EXPECT_EQ(table.Find("few"), nullptr);
  EXPECT_EQ(kept->name, "few");  // who has it keeps it
  EXPECT_EQ(table.Acquire("none").error().code, Errc::kNotFound);
}

TEST(BufferPool, KeepsABoundedNumberOfAlignedBuffers) {
  BufferPool pool(64u << 10);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{4097}, size_t{65536},
                            size_t{65537}, size_t{64} << 20}) {
    PooledBuffer buffer = pool.Get(size);
    EXPECT_EQ(buffer.first(size).size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.first(size).data()) % kDirectIoAlignment, 0u);
  }
  EXPECT_LE(pool.idle_bytes(), 64u << 10);
  const std::byte* const first = pool.Get(4096).first(1).data();
  EXPECT_EQ(pool.Get(4000).first(1).data(), first);  // the same memory again
}

// Two connections of one export on one loop.
struct Budgets {
  explicit Budgets(uint64_t export_bytes_max, uint64_t server_bytes_max)
      : device(loop, {.size = 1 << 20}),
        target(Export("a", device)),
        server(server_bytes_max),
        memory(loop, server, export_bytes_max, [this] { ++pressure; }) {}
  InFlightBudget::Limits limits{.bytes_max = 4u << 20, .requests_max = 2};
  MemoryLoop loop;
  MemoryDevice device;
  ServedExport target;
  MemoryBudget server;
  int pressure = 0;
  LoopBudget memory;
  InFlightBudget one{loop, limits, memory, target};
  InFlightBudget other{loop, limits, memory, target};
};

TEST(InFlightBudget, AConnectionAlwaysGetsOneRequestOfAnySize) {
  Budgets budgets(1u << 30, 1u << 30);
  EXPECT_TRUE(budgets.one.TryTake(64u << 20));
  EXPECT_FALSE(budgets.one.TryTake(1));
  budgets.one.Release(64u << 20);
  EXPECT_TRUE(budgets.one.TryTake(1u << 20));
  EXPECT_TRUE(budgets.one.TryTake(1u << 20));
  EXPECT_FALSE(budgets.one.TryTake(1));  // two requests already
  EXPECT_EQ(budgets.pressure, 0);
  budgets.one.Release(1u << 20);
  budgets.one.Release(1u << 20);
  EXPECT_EQ(budgets.server.bytes(), 0u);
}

TEST(InFlightBudget, AnExportAndTheServerHaveLimitsOfTheirOwn) {
  for (const bool of_export : {true, false}) {
    Budgets budgets(of_export ? 3u << 20 : 1u << 30, of_export ? 1u << 30 : 3u << 20);
    EXPECT_TRUE(budgets.one.TryTake(3u << 20));
    EXPECT_FALSE(budgets.one.TryTake(4096));
    EXPECT_FALSE(budgets.other.TryTake(1u << 20));
    EXPECT_EQ(budgets.pressure > 0, true);
    EXPECT_TRUE(budgets.other.TryTake(4096));  // so that every client gets something done
    EXPECT_FALSE(budgets.other.TryTake(4096));
    budgets.one.Release(3u << 20);
    EXPECT_TRUE(budgets.other.TryTake(1u << 20));
    budgets.other.Release(1u << 20);
    budgets.other.Release(4096);
    EXPECT_EQ(budgets.server.bytes(), 0u);
  }
}

Task<void> WaitAndTake(InFlightBudget& budget, uint64_t bytes, bool& taken) {
  while (!budget.TryTake(bytes)) co_await budget.WaitFor(bytes);
  taken = true;
}

TEST(InFlightBudget, MemoryThatAnotherLoopReturnsWakesWhoWaits) {
  MemoryLoop loop_one;
  MemoryLoop loop_other;
  MemoryDevice device(loop_one, {.size = 1 << 20});
  ServedExport target_one(Export("a", device));
  ServedExport target_other(Export("b", device));
  MemoryBudget server(8u << 20);
  LoopBudget memory_one(loop_one, server, 1u << 30, [] {});
  LoopBudget memory_other(loop_other, server, 1u << 30, [] {});
  const InFlightBudget::Limits limits{.bytes_max = 64u << 20, .requests_max = 8};
  InFlightBudget one(loop_one, limits, memory_one, target_one);
  InFlightBudget other(loop_other, limits, memory_other, target_other);
  ASSERT_TRUE(one.TryTake(8u << 20));
  bool taken = false;
  loop_other.Spawn(WaitAndTake(other, 6u << 20, taken));
  EXPECT_FALSE(taken);
  EXPECT_TRUE(memory_other.under_pressure());
  one.Release(8u << 20);
  loop_other.RunUntil([&taken] { return taken; });
  other.Release(6u << 20);
}

TEST(TurnShare, BoundsATurnAndStartsAnewWithTheNext) {
  TurnShare share;
  EXPECT_TRUE(share.Take(1, 64u << 20));  // however large
  EXPECT_FALSE(share.Take(1, 1));
  EXPECT_TRUE(share.Take(2, 4096));
  int more = 0;
  while (share.Take(2, 4096)) ++more;
  EXPECT_GT(more, 100);
  EXPECT_LT(more, 300);
}

TEST(LatencyHistogram, EveryDurationHasItsBucket) {
  LatencyHistogram histogram;
  using Time = LatencyHistogram::Time;
  for (size_t bucket = 0; bucket + 1 < LatencyHistogram::kBuckets; ++bucket) {
    histogram.Add(LatencyHistogram::UpperBound(bucket));
    EXPECT_EQ(histogram.count(bucket), 1u) << bucket;
  }
  histogram.Add(Time(0));
  histogram.Add(Time(-1));
  EXPECT_EQ(histogram.count(0), 3u);
  histogram.Add(Time::max());
  EXPECT_EQ(histogram.count(LatencyHistogram::kBuckets - 1), 1u);
}

TEST(EventLog, QuotesWhatPeersSend) {
  EXPECT_EQ(Quoted("a\"\\\n\x1b\xff"), R"("a\"\\\x0a\x1b\xff")");
  EXPECT_EQ(Quoted(std::string(1000, 'x')).size(), 128u + 2 + 3);
}

}  // namespace
}  // namespace mica::nbd
