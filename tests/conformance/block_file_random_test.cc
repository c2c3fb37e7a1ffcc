// SPDX-License-Identifier: Apache-2.0
// Random operations on a BlockFile against a vector of bytes, for every host and I/O engine.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/prng.h"
#include "engine/io/block_file.h"
#include "tests/conformance/block_file_fixture.h"

namespace mica {
namespace {

constexpr uint64_t kSizeMax = 1 << 20;

class BlockFileRandomSuite : public HostSuite {
 protected:
  // Half of all requests are aligned, as most of a disk's are.
  ByteRange RandomRange() {
    const uint64_t unit = prng_.OneIn(2) ? 4096 : 1;
    const uint64_t offset = AlignDown(prng_.Below(kSizeMax), unit);
    const uint64_t length = AlignDown(prng_.Below(prng_.OneIn(8) ? 200'000 : 9000), unit);
    return {offset, std::min(length, kSizeMax - offset)};
  }
  Bytes RandomMemory(uint64_t length) {
    const uint64_t skew = prng_.OneIn(2) ? 0 : prng_.Below(4096);
    return memory_.span().subspan(skew, length);
  }
  Bytes OracleRange(ByteRange range) { return Bytes(oracle_).subspan(range.offset, range.length); }
  void GrowOracle(ByteRange range) {
    if (!range.empty() && range.end() > oracle_.size()) oracle_.resize(range.end());
  }

  void WriteSome(BlockFile& file) {
    const ByteRange range = RandomRange();
    const Bytes data = RandomMemory(range.length);
    for (std::byte& byte : data) byte = std::byte(prng_.Next() & 0xff);
    ASSERT_TRUE(SyncWait(loop(), file.Write(range.offset, data)));
    GrowOracle(range);
    if (!range.empty()) std::ranges::copy(data, OracleRange(range).begin());
  }
  void ZeroSome(BlockFile& file, ZeroMode mode) {
    const ByteRange range = RandomRange();
    const Result<void> zeroed = SyncWait(loop(), file.WriteZeroes(range, mode));
    if (!zeroed) {
      ASSERT_EQ(zeroed.error().code, Errc::kUnsupported) << zeroed.error().message;
      return;
    }
    if (mode == ZeroMode::kAllocate) GrowOracle(range);
    const ByteRange inside = Intersect(range, {0, oracle_.size()});
    if (!inside.empty()) FillZero(OracleRange(inside));
  }
  void AllocateSome(BlockFile& file) {
    const ByteRange range = RandomRange();
    const Result<void> allocated = SyncWait(loop(), file.Allocate(range));
    if (allocated) GrowOracle(range);
  }
  void ResizeIt(BlockFile& file) {
    const uint64_t size = RandomRange().end();
    ASSERT_TRUE(SyncWait(loop(), file.Resize(size)));
    oracle_.resize(size);
  }
  void ReadSome(BlockFile& file) {
    const ByteRange range = RandomRange();
    const Bytes data = RandomMemory(range.length);
    ASSERT_TRUE(SyncWait(loop(), file.Read(range.offset, data)));
    const uint64_t stored = Intersect(range, {0, oracle_.size()}).length;
    if (stored > 0) {
      ASSERT_TRUE(std::ranges::equal(data.first(stored), OracleRange({range.offset, stored})));
    }
    ASSERT_TRUE(IsZero(data.subspan(stored)));
  }
  void Step(BlockFile& file) {
    switch (prng_.Below(16)) {
      case 0:
        return ZeroSome(file, ZeroMode::kAllocate);
      case 1:
        return ZeroSome(file, ZeroMode::kDeallocate);
      case 2:
        return AllocateSome(file);
      case 3:
        return ResizeIt(file);
      case 4:
        ASSERT_TRUE(SyncWait(loop(), file.Sync()));
        return;
      case 5:
      case 6:
      case 7:
      case 8:
        return ReadSome(file);
      default:
        return WriteSome(file);
    }
  }

  Prng prng_{0};
  std::vector<std::byte> oracle_;
  AlignedBuffer memory_{512 * 1024};
};

TEST_P(BlockFileRandomSuite, AgreesWithAVector) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    prng_ = Prng(seed);
    oracle_.clear();
    const auto file = Create("random" + std::to_string(seed));
    for (int step = 0; step < 300; ++step) {
      SCOPED_TRACE(testing::Message() << "step " << step);
      ASSERT_NO_FATAL_FAILURE(Step(*file));
      ASSERT_EQ(SyncWait(loop(), file->Size()).value(), oracle_.size());
    }
    ASSERT_EQ(ReadAll(*file), oracle_);
  }
}

// Disjoint requests, any alignment, all in flight together.
TEST_P(BlockFileRandomSuite, DisjointRequestsInFlightTogether) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    prng_ = Prng(seed);
    const auto file = Create("disjoint" + std::to_string(seed));
    oracle_.assign(kSizeMax, std::byte{0});
    for (std::byte& byte : oracle_) byte = std::byte(prng_.Next() & 0xff);
    std::vector<ByteRange> parts;
    for (uint64_t at = 0; at < kSizeMax;) {
      const uint64_t length = prng_.OneIn(2) ? 1 + prng_.Below(20'000) : AlignUp(at + 1, 4096) - at;
      parts.push_back({at, std::min(length, kSizeMax - at)});
      at = parts.back().end();
    }
    for (size_t i = parts.size(); i > 1; --i) std::swap(parts[i - 1], parts[prng_.Below(i)]);
    std::vector<Async<void>> tasks;
    for (const ByteRange& part : parts)
      tasks.push_back(file->Write(part.offset, OracleRange(part)));
    ASSERT_TRUE(SyncWait(loop(), WhenAll(loop(), std::move(tasks))));
    ASSERT_EQ(ReadAll(*file), oracle_);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryHost, BlockFileRandomSuite, testing::ValuesIn(kEveryHost),
                         HostCaseName);

}  // namespace
}  // namespace mica
