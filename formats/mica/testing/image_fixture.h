// SPDX-License-Identifier: Apache-2.0
// One mica image "/d" on a MemoryHost, for tests of what happens to its file.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/bytes.h"
#include "engine/base/prng.h"
#include "engine/io/memory_host.h"
#include "formats/mica/mica_format.h"
#include "formats/open_chain.h"

namespace mica::testing {

inline constexpr uint64_t kMiB = uint64_t{1} << 20;

inline std::vector<std::byte> RandomData(size_t size, uint64_t seed) {
  std::vector<std::byte> data(size);
  Prng prng(seed);
  for (size_t i = 0; i + 8 <= size; i += 8) StoreLe<uint64_t>(data, i, prng.Next());
  return data;
}

class ImageFixture : public ::testing::Test {
 protected:
  void Create(uint64_t size, std::map<std::string, std::string> extra = {}) {
    CreateOptions options;
    options.virtual_size = size;
    options.extra = std::move(extra);
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/d", options)));
    ASSERT_TRUE(SyncWait(loop_, host_.SyncDirectory("/")));
  }
  Result<std::unique_ptr<ImageChain>> TryOpen() {
    OpenChainOptions options;
    options.writable = true;
    return SyncWait(loop_, OpenChain(host_, "/d", options));
  }
  void Open() {
    auto opened = TryOpen();
    ASSERT_TRUE(opened) << opened.error().message;
    chain_ = *std::move(opened);
  }
  Result<void> TryWrite(uint64_t offset, uint64_t size, uint64_t seed) {
    const std::vector<std::byte> data = RandomData(size, seed);
    return SyncWait(loop_, chain_->Write(offset, data, Durability::kVolatile));
  }
  void Write(uint64_t offset, uint64_t size, uint64_t seed) {
    const Result<void> written = TryWrite(offset, size, seed);
    ASSERT_TRUE(written) << written.error().message;
  }
  void Expect(uint64_t offset, uint64_t size, uint64_t seed) {
    std::vector<std::byte> data(size);
    const Result<void> read = SyncWait(loop_, chain_->Read(offset, data));
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_TRUE(data == RandomData(size, seed)) << "at " << offset;
  }
  void Discard(ByteRange range) {
    ASSERT_TRUE(SyncWait(loop_, chain_->Discard(range, Durability::kVolatile)));
  }
  void Flush() {
    const Result<void> flushed = SyncWait(loop_, chain_->Flush());
    ASSERT_TRUE(flushed) << flushed.error().message;
  }
  void Close() {
    const Result<void> closed = SyncWait(loop_, chain_->Close());
    ASSERT_TRUE(closed) << closed.error().message;
    Drop();
  }
  // Ends the chain as a crash of the process does.
  void Drop() {
    chain_.reset();
    loop_.RunUntil([this] { return loop_.spawned_tasks() == 0; });
  }
  void Sleep(std::chrono::seconds time) { ASSERT_TRUE(SyncWait(loop_, SleepFor(time))); }
  CheckReport Check() {
    return SyncWait(loop_, format_.Check(host_, "/d", CheckScope::kMetadataAndData)).value();
  }
  uint64_t FileBytes() { return SyncWait(loop_, host_.Stat("/d")).value().size; }
  uint64_t HostBytes() { return SyncWait(loop_, host_.Stat("/d")).value().allocated_bytes; }

  MemoryLoop loop_;
  MemoryHost host_{loop_};
  MicaFormat format_;
  std::unique_ptr<ImageChain> chain_;

 private:
  Async<void> SleepFor(std::chrono::seconds time) {
    co_await loop_.SleepUntil(loop_.Now() + time);
    co_return Result<void>();
  }
};

}  // namespace mica::testing
