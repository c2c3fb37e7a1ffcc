// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "engine/async/event_loop.h"
#include "engine/layer.h"

namespace mica::testing {

// A growing file in memory; every operation completes on a later turn of the loop.
class TurnFile final : public BlockFile {
 public:
  explicit TurnFile(EventLoop& loop) : loop_(loop) {}
  [[nodiscard]] const FileLimits& limits() const noexcept override { return limits_; }
  Async<uint64_t> Size() override { co_return bytes.size(); }
  Async<void> Read(uint64_t offset, Bytes buffer) override {
    co_await loop_.Yield();
    for (size_t i = 0; i < buffer.size(); ++i) {
      buffer[i] = offset + i < bytes.size() ? bytes[offset + i] : std::byte{0};
    }
    co_return Result<void>();
  }
  Async<void> Write(uint64_t offset, ConstBytes buffer) override {
    co_await loop_.Yield();
    if (fail_writes) co_return Error{Errc::kNoSpace, "full"};
    if (bytes.size() < offset + buffer.size()) bytes.resize(offset + buffer.size());
    std::ranges::copy(buffer, bytes.begin() + static_cast<int64_t>(offset));
    co_return Result<void>();
  }
  Async<void> WriteZeroes(ByteRange, ZeroMode) override {
    co_return Error{Errc::kUnsupported, "no zeroes"};
  }
  Async<void> Allocate(ByteRange) override { co_return Error{Errc::kUnsupported, "no space map"}; }
  Async<void> Sync() override { co_return Result<void>(); }
  Async<void> Resize(uint64_t) override { co_return Error{Errc::kUnsupported, "fixed"}; }

  std::vector<std::byte> bytes;
  bool fail_writes = false;

 private:
  EventLoop& loop_;
  FileLimits limits_;
};

// Clusters of 4 KiB, each written to a fresh place, with digests.
class ToyLayer final : public Layer {
 public:
  ToyLayer(EventLoop& loop, uint64_t size, bool writable) : file(loop) {
    info_.format = "toy";
    info_.path = "toy.img";
    info_.virtual_size = size;
    info_.cluster_bytes = 4096;
    info_.digest_block_bytes = 4096;
    info_.writable = writable;
  }
  [[nodiscard]] const LayerInfo& info() const noexcept override { return info_; }
  BlockFile& data_file() noexcept override { return file; }
  Async<Mapping> Map(ByteRange range) override {
    EXPECT_TRUE(IsAligned(range.offset, 4096));
    EXPECT_TRUE(IsAligned(range.end(), 4096) || range.end() == info_.virtual_size);
    Mapping mapping;
    for (uint64_t at = range.offset; at < range.end(); at += 4096) {
      const ByteRange guest = RangeBetween(at, std::min(at + 4096, range.end()));
      Extent extent{guest, ExtentKind::kUnallocated, 0, Extent::kNoDigest};
      if (const auto found = clusters.find(at / 4096); found != clusters.end()) {
        extent.kind = found->second.kind;
        extent.host_offset = found->second.host_offset;
        if (extent.kind == ExtentKind::kData) {
          extent.first_digest = static_cast<uint32_t>(mapping.digests.size());
          mapping.digests.push_back(found->second.digest);
        }
      }
      mapping.extents.push_back(extent);
    }
    co_return mapping;
  }
  Async<WritePlan> PrepareWrite(ByteRange range) override {
    EXPECT_TRUE(IsAligned(range.offset, 4096));
    EXPECT_TRUE(IsAligned(range.end(), 4096) || range.end() == info_.virtual_size);
    WritePlan plan;
    plan.range = range;
    for (uint64_t at = range.offset; at < range.end(); at += 4096) {
      const ByteRange guest = RangeBetween(at, std::min(at + 4096, range.end()));
      plan.targets.push_back(WritePlan::Target{guest, next_});
      next_ += 8192;  // never adjacent, so that every write is several
    }
    ++prepared;
    co_return plan;
  }
  Async<void> PublishWrite(WritePlan plan) override {
    for (size_t i = 0; i < plan.targets.size(); ++i) {
      clusters[plan.targets[i].guest.offset / 4096] =
          Cluster{ExtentKind::kData, plan.targets[i].host_offset, plan.digests.at(i)};
    }
    ++published;
    co_return Result<void>();
  }
  void CancelWrite(WritePlan) noexcept override { ++cancelled; }
  Async<void> Unmap(ByteRange range, ExtentKind becomes) override {
    for (uint64_t at = range.offset; at < range.end(); at += 4096) {
      clusters[at / 4096] = Cluster{becomes, 0, 0};
    }
    co_return Result<void>();
  }
  Async<void> Flush() override {
    ++flushed;
    co_return Result<void>();
  }
  Async<void> Close() override { co_return Result<void>(); }

  struct Cluster {
    ExtentKind kind;
    uint64_t host_offset;
    BlockDigest digest;
  };
  std::map<uint64_t, Cluster> clusters;
  TurnFile file;
  int prepared = 0, published = 0, cancelled = 0, flushed = 0;

 private:
  LayerInfo info_;
  uint64_t next_ = 0;
};

}  // namespace mica::testing
