// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/mica_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "engine/io/memory_host.h"
#include "formats/open_chain.h"

namespace mica {
namespace {

using Data = std::vector<std::byte>;

Data RandomData(size_t size, uint64_t seed) {
  Prng prng(seed);
  Data data(size);
  for (std::byte& byte : data) byte = static_cast<std::byte>(prng.Next());
  return data;
}

class MicaFormatTest : public testing::Test {
 protected:
  void Create(const std::string& path, uint64_t size) {
    CreateOptions options;
    options.virtual_size = size;
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, path, options)));
    ASSERT_TRUE(SyncWait(loop_, host_.SyncDirectory("/")));
  }
  Result<std::unique_ptr<ImageChain>> Open(const std::string& path, bool writable) {
    OpenChainOptions options;
    options.writable = writable;
    return SyncWait(loop_, OpenChain(host_, path, options));
  }
  CheckReport Check(const std::string& path) {
    return SyncWait(loop_, format_.Check(host_, path, CheckScope::kMetadataAndData)).value();
  }

  MemoryLoop loop_;
  MemoryHost host_{loop_};
  MicaFormat format_;
};

TEST_F(MicaFormatTest, KeepsWhatIsWrittenAcrossACleanClose) {
  constexpr uint64_t kSize = (3 << 20) + 1234;
  Create("/d", kSize);
  Data model(kSize);
  {
    const auto chain = Open("/d", true).value();
    Prng prng(1);
    for (uint64_t i = 0; i < 300; ++i) {
      const uint64_t offset = prng.Below(kSize);
      const Data data = RandomData(1 + prng.Below(std::min<uint64_t>(kSize - offset, 40'000)), i);
      const Result<void> written =
          SyncWait(loop_, chain->Write(offset, data, Durability::kVolatile));
      ASSERT_TRUE(written) << written.error().message;
      std::ranges::copy(data, model.begin() + static_cast<ptrdiff_t>(offset));
      if (i % 50 != 0) continue;
      ASSERT_TRUE(SyncWait(loop_, chain->Flush()));
    }
    Data back(kSize);
    ASSERT_TRUE(SyncWait(loop_, chain->Read(0, back)));
    EXPECT_EQ(back, model);
    const Result<void> closed = SyncWait(loop_, chain->Close());
    ASSERT_TRUE(closed) << closed.error().message;
  }
  const CheckReport report = Check("/d");
  EXPECT_EQ(report.corruptions, 0u) << report.findings.front().what;
  const auto chain = Open("/d", false).value();
  Data back(kSize);
  ASSERT_TRUE(SyncWait(loop_, chain->Read(0, back)));
  EXPECT_EQ(back, model);
}

TEST_F(MicaFormatTest, ReplaysTheLogAfterACrash) {
  constexpr uint64_t kSize = 1 << 20;
  Create("/d", kSize);
  const Data data = RandomData(100'000, 7);
  auto chain = Open("/d", true).value();
  ASSERT_TRUE(SyncWait(loop_, chain->Write(5'000, data, Durability::kForced)));
  const auto crashed = host_.CrashImage({PowerCutKind::kLoseAll});
  OpenChainOptions options;
  for (const bool writable : {false, true, false}) {
    options.writable = writable;
    const auto reopened = SyncWait(loop_, OpenChain(*crashed, "/d", options));
    ASSERT_TRUE(reopened.has_value()) << reopened.error().message;
    Data back(data.size());
    ASSERT_TRUE(SyncWait(loop_, (*reopened)->Read(5'000, back)));
    EXPECT_EQ(back, data);
    ASSERT_TRUE(SyncWait(loop_, (*reopened)->Close()));
  }
  ASSERT_TRUE(SyncWait(loop_, chain->Close()));
}

TEST_F(MicaFormatTest, ADeltaReadsItsParentAndKnowsIt) {
  constexpr uint64_t kSize = 1 << 20;
  Create("/master", kSize);
  const Data data = RandomData(kSize, 9);
  {
    const auto chain = Open("/master", true).value();
    ASSERT_TRUE(SyncWait(loop_, chain->Write(0, data, Durability::kVolatile)));
    ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  }
  const Result<LayerIdentity> sealed = SyncWait(loop_, format_.Seal(host_, "/master"));
  ASSERT_TRUE(sealed.has_value()) << sealed.error().message;
  const LayerIdentity identity = *sealed;
  EXPECT_EQ(SyncWait(loop_, format_.Seal(host_, "/master")).value(), identity);
  EXPECT_EQ(Open("/master", true).error().code, Errc::kReadOnly);
  CreateOptions options;
  options.virtual_size = kSize;
  options.parent = ParentReference{"master", "mica", identity};
  ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/delta", options)));
  auto chain = Open("/delta", true).value();
  ASSERT_EQ(chain->depth(), 2u);
  Data model = data;
  std::fill_n(model.begin() + 10'000, 5'000, std::byte{0});
  ASSERT_TRUE(SyncWait(
      loop_, chain->WriteZeroes({10'000, 5'000}, ZeroHint::kMayUnmap, Durability::kForced)));
  Data back(kSize);
  ASSERT_TRUE(SyncWait(loop_, chain->Read(0, back)));
  EXPECT_EQ(back, model);
  ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  chain.reset();
  EXPECT_EQ(Check("/delta").corruptions, 0u);
  EXPECT_EQ(Check("/master").corruptions, 0u);
}

}  // namespace
}  // namespace mica
