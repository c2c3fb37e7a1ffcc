// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/io/memory_host.h"
#include "formats/open_chain.h"
#include "formats/raw/raw_format.h"
#include "formats/raw/sidecar.h"
#include "formats/registry.h"

namespace mica {
namespace {

using testing::HasSubstr;
using Data = std::vector<std::byte>;

class RawTest : public testing::Test {
 protected:
  void Create(uint64_t size) {
    CreateOptions options;
    options.virtual_size = size;
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/raw", options)));
  }
  Result<std::unique_ptr<ImageChain>> Open(bool writable) {
    OpenChainOptions options;
    options.writable = writable;
    options.format = "raw";
    return SyncWait(loop_, OpenChain(host_, "/raw", options));
  }
  void Fill(uint64_t offset, size_t size, uint8_t value) {
    const auto chain = Open(true).value();
    const Data data(size, std::byte{value});
    ASSERT_TRUE(SyncWait(loop_, chain->Write(offset, data, Durability::kVolatile)));
    ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  }
  Data ReadAll(ImageChain& chain) {
    Data data(chain.info().size);
    EXPECT_TRUE(SyncWait(loop_, chain.Read(0, data)));
    return data;
  }

  MemoryLoop loop_;
  MemoryHost host_{loop_};
  RawFormat format_;
};

TEST_F(RawTest, WritesLandAtTheirOwnOffsetWithoutReadingFirst) {
  Create(10'001);
  Fill(4'000, 777, 7);
  Data expected(10'001);
  std::fill_n(expected.begin() + 4'000, 777, std::byte{7});
  EXPECT_EQ(host_.Content("/raw").value(), expected);
  EXPECT_EQ(ReadAll(*Open(false).value()), expected);
}

TEST_F(RawTest, IsNeverWrittenByGuess) {
  Create(4096);
  OpenChainOptions options;
  options.writable = true;
  const auto opened = SyncWait(loop_, OpenChain(host_, "/raw", options));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Errc::kInvalidArgument);
  EXPECT_THAT(opened.error().message, HasSubstr("-f raw"));
}

TEST_F(RawTest, DiscardReadsZero) {
  Create(1 << 20);
  Fill(0, 1 << 20, 3);
  const auto chain = Open(true).value();
  const ByteRange range{5'000, 500'000};
  ASSERT_TRUE(SyncWait(loop_, chain->Discard(range, Durability::kForced)));
  Data expected(1 << 20, std::byte{3});
  std::fill_n(expected.begin() + 5'000, 500'000, std::byte{0});
  EXPECT_EQ(ReadAll(*chain), expected);
}

TEST_F(RawTest, SealedIsImmutableChecksummedAndKnowsItsZeroes) {
  Create(40'001);
  Fill(8'192, 100, 9);
  const LayerIdentity identity = SyncWait(loop_, format_.Seal(host_, "/raw")).value();
  EXPECT_EQ(identity.virtual_size, 40'001u);
  EXPECT_EQ(Open(true).error().code, Errc::kReadOnly);
  const auto chain = Open(false).value();
  EXPECT_EQ(chain->layer(0).info().identity, identity);
  const auto status = SyncWait(loop_, chain->Status({0, 40'001}, 100)).value();
  ASSERT_EQ(status.size(), 4u);  // zero, data, zero, the short last block
  EXPECT_EQ(status[1], (StatusExtent{4'096, false, false, 1}));
  host_.disk().Find("/raw")->Damage(8'200, Data(1, std::byte{1}));
  Data buffer(1);
  const Result<void> read = SyncWait(loop_, chain->Read(9'000, buffer));
  ASSERT_FALSE(read.has_value());
  EXPECT_EQ(read.error().code, Errc::kCorrupt);
  const CheckReport report =
      SyncWait(loop_, format_.Check(host_, "/raw", CheckScope::kMetadataAndData)).value();
  EXPECT_EQ(report.corruptions, 1u);
  EXPECT_EQ(report.findings.at(0).guest, (ByteRange{8'192, 4'096}));
}

TEST_F(RawTest, AChangedMasterIsAMismatchAndSealingTheSameContentKeepsTheIdentity) {
  Create(40'000);
  Fill(0, 100, 9);
  const LayerIdentity first = SyncWait(loop_, format_.Seal(host_, "/raw")).value();
  ASSERT_TRUE(SyncWait(loop_, host_.Rename("/raw.seal", "/kept")));
  Fill(0, 100, 9);
  ASSERT_TRUE(SyncWait(loop_, host_.Rename("/kept", "/raw.seal")));
  EXPECT_EQ(Open(false).error().code, Errc::kMismatch);
  EXPECT_EQ(SyncWait(loop_, format_.Seal(host_, "/raw")).value(), first);
  EXPECT_TRUE(Open(false).has_value());
}

TEST(Sidecar, EveryFlippedBitOfTheHeaderIsFound) {
  SidecarHeader header;
  header.identity.virtual_size = 12'345;
  header.modified_ns = -5;
  Data block(kSidecarHeaderBytes);
  EncodeSidecarHeader(header, block);
  EXPECT_EQ(DecodeSidecarHeader(block).value(), header);
  for (size_t i = 0; i < block.size(); ++i) {
    block[i] ^= std::byte{0x10};
    EXPECT_FALSE(DecodeSidecarHeader(block).has_value()) << i;
    block[i] ^= std::byte{0x10};
  }
}

}  // namespace
}  // namespace mica
