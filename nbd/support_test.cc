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

TEST(InFlightBudget, AdmitsOneRequestOfAnySize) {
  MemoryLoop loop;
  InFlightBudget budget(loop, 100, 2);
  EXPECT_TRUE(budget.Admits(UINT64_MAX));
  budget.Take(60);
  EXPECT_TRUE(budget.Admits(40));
  EXPECT_FALSE(budget.Admits(41));
  budget.Take(10);
  EXPECT_FALSE(budget.Admits(1));  // two requests already
  budget.Release(60);
  EXPECT_TRUE(budget.Admits(90));
}

TEST(MetaContext, WildcardsAreForListsOnly) {
  const MetaContext& allocation = *MetaContexts().front();
  EXPECT_TRUE(Matches(allocation, "base:allocation", QueryKind::kSelect));
  EXPECT_TRUE(Matches(allocation, "base:", QueryKind::kList));
  EXPECT_FALSE(Matches(allocation, "base:", QueryKind::kSelect));
  for (const char* const other : {"", "base", "qemu:", "base:alloc", "base:allocation2"}) {
    EXPECT_FALSE(Matches(allocation, other, QueryKind::kList)) << other;
  }
}

TEST(EventLog, QuotesWhatPeersSend) {
  EXPECT_EQ(Quoted("a\"\\\n\x1b\xff"), R"("a\"\\\x0a\x1b\xff")");
  EXPECT_EQ(Quoted(std::string(1000, 'x')).size(), 128u + 2 + 3);
}

}  // namespace
}  // namespace mica::nbd
