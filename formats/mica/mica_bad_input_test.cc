// SPDX-License-Identifier: Apache-2.0
// Damaged, cut and foreign files: whatever is opened and read gives an error or the right data.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "engine/io/memory_host.h"
#include "formats/mica/mica_format.h"
#include "formats/mica/open_image.h"
#include "formats/open_chain.h"
#include "formats/registry.h"

namespace mica {
namespace {

using testing::HasSubstr;
using Data = std::vector<std::byte>;

constexpr uint64_t kSize = (uint64_t{1} << 30) + 5000;
// A sparse leaf, a dense one, and the odd end in a second region.
const std::vector<ByteRange> kWritten = {{0, 40'000}, {4 << 20, 150 * 4096}, {kSize - 4000, 4000}};

class MicaBadInputTest : public testing::Test {
 protected:
  void SetUp() override {
    CreateOptions options;
    options.virtual_size = kSize;
    options.extra["log_size"] = "32768";
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/d", options)));
    ASSERT_TRUE(SyncWait(loop_, host_.SyncDirectory("/")));
  }
  Result<std::unique_ptr<ImageChain>> Open(MemoryHost& host, const std::string& path,
                                           bool writable) {
    OpenChainOptions options;
    options.writable = writable;
    return SyncWait(loop_, OpenChain(host, path, options));
  }
  void Fill(ImageChain& chain, uint64_t seed) {
    Prng prng(seed);
    for (const ByteRange& range : kWritten) {
      Data data(range.length);
      for (std::byte& byte : data) byte = static_cast<std::byte>(prng.Next());
      ASSERT_TRUE(SyncWait(loop_, chain.Write(range.offset, data, Durability::kForced)));
      content_[range.offset] = data;
    }
  }
  void MakeClean() {
    const auto chain = Open(host_, "/d", true).value();
    Fill(*chain, 1);
    ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  }
  // Leaves a log with several flushes and the page that confirms the last.
  void MakeUnclean() {
    MakeClean();
    auto chain = Open(host_, "/d", true).value();
    Fill(*chain, 2);
    SyncWait(loop_, loop_.SleepUntil(loop_.Now() + std::chrono::seconds(5)));
    chain.reset();
    loop_.RunUntil([this] { return loop_.spawned_tasks() == 0; });
  }
  // "" when every read gives an error or the right data; otherwise what is wrong.
  std::string ReadAll(MemoryHost& host) {
    const auto chain = Open(host, "/d", false);
    if (!chain) return {};
    for (const auto& [offset, expected] : content_) {
      // Piece by piece, so that an error in one place does not hide the others.
      for (uint64_t at = 0; at < expected.size(); at += 16384) {
        Data data(std::min<uint64_t>(16384, expected.size() - at));
        if (!SyncWait(loop_, (*chain)->Read(offset + at, data))) continue;
        if (!std::equal(data.begin(), data.end(), expected.begin() + static_cast<ptrdiff_t>(at))) {
          return fmt::format("wrong data at {}", offset + at);
        }
      }
    }
    return {};
  }
  // Flips one byte at each of the offsets and looks.
  void FlipEach(uint64_t begin, uint64_t end, uint64_t step) {
#if defined(__SANITIZE_ADDRESS__)
    step *= 17;  // ten times slower, and the other builds try every byte
#endif
    const Data whole = host_.Content("/d").value();
    ASSERT_LE(end, whole.size());
    for (uint64_t at = begin; at < end; at += step) {
      const std::byte flipped = whole[at] ^ static_cast<std::byte>(1 + at % 255);
      SimulatedFile& file = *host_.disk().Find("/d");
      file.Damage(at, ConstBytes(&flipped, 1));
      ASSERT_EQ(ReadAll(host_), "") << "byte " << at << " flipped";
      const auto report = SyncWait(loop_, format_.Check(host_, "/d", CheckScope::kMetadata));
      static_cast<void>(report);  // an error or a report, but not a crash
      file.Damage(at, ConstBytes(&whole[at], 1));
    }
    ASSERT_EQ(ReadAll(host_), "");
  }
  // File offsets of everything the map is made of.
  std::set<uint64_t> MapSlots() {
    OpenOptions options;
    const auto open = SyncWait(loop_, native::OpenMicaFile(host_, "/d", options)).value();
    std::set<uint64_t> slots;
    native::BlockMap& map = open->image.map;
    for (uint64_t block = 0; block < map.block_count();) {
      block = SyncWait(loop_, map.Find(block)).value().end_block;
      if (block == map.block_count()) block -= 1;
      map.ForEachRegionRun(block, [&slots](native::SlotRun run) {
        for (uint64_t slot = run.first; slot < run.end(); ++slot) slots.insert(slot);
      });
      if (block == map.block_count() - 1) break;
    }
    map.ForEachRegionRun(0, [&slots](native::SlotRun run) {
      for (uint64_t slot = run.first; slot < run.end(); ++slot) slots.insert(slot);
    });
    slots.insert(map.RootSlot(0));
    return slots;
  }

  MemoryLoop loop_;
  MemoryHost host_{loop_};
  MicaFormat format_;
  std::map<uint64_t, Data> content_;
};

TEST_F(MicaBadInputTest, EveryByteOfTheSuperblocks) {
  MakeClean();
  FlipEach(0, 2 * 4096, 1);
}

TEST_F(MicaBadInputTest, EveryByteOfTheSuperblocksWithALog) {
  MakeUnclean();
  FlipEach(0, 2 * 4096, 3);
}

TEST_F(MicaBadInputTest, EveryByteOfTheLog) {
  MakeUnclean();
  FlipEach(2 * 4096, 10 * 4096, 1);
}

TEST_F(MicaBadInputTest, EveryByteOfTheMap) {
  MakeClean();
  const std::set<uint64_t> slots = MapSlots();
  ASSERT_GE(slots.size(), 5u);  // root, two regions, a dense leaf of two slots
  for (const uint64_t slot : slots) FlipEach(slot * 4096, (slot + 1) * 4096, 1);
}

TEST_F(MicaBadInputTest, EveryDataBlock) {
  MakeClean();
  const uint64_t end = host_.Content("/d").value().size();
  FlipEach(10 * 4096 + 77, end, 4096);
}

TEST_F(MicaBadInputTest, BothSuperblocksGoneIsNotARawDisk) {
  MakeClean();
  const std::byte bad{0xff};
  host_.disk().Find("/d")->Damage(100, ConstBytes(&bad, 1));
  host_.disk().Find("/d")->Damage(4096 + 100, ConstBytes(&bad, 1));
  const auto opened = Open(host_, "/d", false);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Errc::kCorrupt);
  EXPECT_THAT(opened.error().message, HasSubstr("/d: both superblocks are damaged"));
}

TEST_F(MicaBadInputTest, AnyTruncation) {
  MakeClean();
  const Data whole = host_.Content("/d").value();
  for (uint64_t size = 0; size < whole.size(); size += 1024) {
    MemoryHost host(loop_);
    OpenOptions options;
    options.writable = true;
    {
      const auto file = SyncWait(loop_, host.CreateExclusive("/d", options)).value();
      ASSERT_TRUE(SyncWait(loop_, file->Write(0, ConstBytes(whole).first(size))));
    }
    if (size >= 8192) {
      ASSERT_EQ(ReadAll(host), "") << size;
      EXPECT_FALSE(Open(host, "/d", true).has_value()) << size;
    }
    const auto report = SyncWait(loop_, format_.Check(host, "/d", CheckScope::kMetadataAndData));
    EXPECT_TRUE(!report || report->corruptions > 0) << size;
  }
}

TEST_F(MicaBadInputTest, CheckNamesADamagedBlock) {
  MakeClean();
  const uint64_t end = host_.Content("/d").value().size();
  const std::byte bad{0x42};
  uint64_t found = 0;
  for (uint64_t offset = 10 * 4096; offset < end; offset += 4096) {
    const std::byte was = host_.Content("/d").value()[offset];
    host_.disk().Find("/d")->Damage(offset, ConstBytes(&bad, 1));
    const CheckReport report =
        SyncWait(loop_, format_.Check(host_, "/d", CheckScope::kMetadataAndData)).value();
    if (was != bad && report.corruptions > 0) ++found;
    host_.disk().Find("/d")->Damage(offset, ConstBytes(&was, 1));
  }
  EXPECT_GE(found, 10u + 150u + 1u);
}

TEST_F(MicaBadInputTest, ASecondWriterIsBusy) {
  const auto first = Open(host_, "/d", true).value();
  for (const bool writable : {true, false}) {
    const auto second = Open(host_, "/d", writable);
    ASSERT_FALSE(second.has_value());
    EXPECT_EQ(second.error().code, Errc::kBusy);
  }
  OpenChainOptions look;
  look.without_locks = true;
  EXPECT_TRUE(SyncWait(loop_, OpenChain(host_, "/d", look)).has_value());
  ASSERT_TRUE(SyncWait(loop_, first->Close()));
}

class MicaParentTest : public MicaBadInputTest {
 protected:
  void CreateDelta(const std::string& parent, const std::string& format, uint64_t size) {
    const LayerIdentity identity =
        SyncWait(loop_, FindFormat(format).value()->Seal(host_, "/" + parent)).value();
    CreateOptions options;
    options.virtual_size = size;
    options.parent = ParentReference{parent, format, identity};
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/delta", options)));
  }
  void CreateMaster(const std::string& path, const ImageFormat& format) {
    CreateOptions options;
    options.virtual_size = 20'000;
    ASSERT_TRUE(SyncWait(loop_, format.Create(host_, path, options)));
  }
};

TEST_F(MicaParentTest, ASwappedMasterIsAMismatch) {
  CreateMaster("/m1", format_);
  CreateMaster("/m2", format_);
  CreateDelta("m1", "mica", 20'000);
  ASSERT_TRUE(SyncWait(loop_, format_.Seal(host_, "/m2")).has_value());
  ASSERT_TRUE(Open(host_, "/delta", false).has_value());
  ASSERT_TRUE(SyncWait(loop_, host_.Rename("/m2", "/m1")));
  const auto opened = Open(host_, "/delta", false);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Errc::kMismatch);
  EXPECT_THAT(opened.error().message, HasSubstr("mica rebase"));
}

TEST_F(MicaParentTest, AMasterThatLostItsSealIsAMismatch) {
  const ImageFormat& raw = *FindFormat("raw").value();
  CreateMaster("/m1", raw);
  CreateDelta("m1", "raw", 20'000);
  ASSERT_TRUE(Open(host_, "/delta", true).has_value());
  ASSERT_TRUE(SyncWait(loop_, host_.Remove("/m1.seal")));
  EXPECT_EQ(Open(host_, "/delta", true).error().code, Errc::kMismatch);
}

TEST_F(MicaParentTest, AModifiedRawMasterIsAMismatch) {
  const ImageFormat& raw = *FindFormat("raw").value();
  CreateMaster("/m1", raw);
  CreateDelta("m1", "raw", 20'000);
  {
    OpenOptions options;
    options.writable = true;
    const auto file = SyncWait(loop_, host_.Open("/m1", options)).value();
    const Data one(1, std::byte{1});
    ASSERT_TRUE(SyncWait(loop_, file->Write(0, one)));
  }
  EXPECT_EQ(Open(host_, "/delta", true).error().code, Errc::kMismatch);
}

TEST_F(MicaParentTest, PastTheEndOfASmallerParentThereAreZeroes) {
  const ImageFormat& raw = *FindFormat("raw").value();
  CreateMaster("/m1", raw);
  {
    OpenChainOptions options;
    options.writable = true;
    options.format = "raw";
    const auto chain = SyncWait(loop_, OpenChain(host_, "/m1", options)).value();
    const Data ones(20'000, std::byte{1});
    ASSERT_TRUE(SyncWait(loop_, chain->Write(0, ones, Durability::kVolatile)));
    ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  }
  CreateDelta("m1", "raw", 100'000);
  const auto chain = Open(host_, "/delta", true).value();
  Data data(100'000);
  ASSERT_TRUE(SyncWait(loop_, chain->Read(0, data)));
  EXPECT_EQ(data[19'999], std::byte{1});
  EXPECT_TRUE(IsZero(ConstBytes(data).subspan(20'000)));
  const Data two(10, std::byte{2});
  ASSERT_TRUE(SyncWait(loop_, chain->Write(19'995, two, Durability::kForced)));
  ASSERT_TRUE(SyncWait(loop_, chain->Read(0, data)));
  EXPECT_EQ(data[19'994], std::byte{1});
  EXPECT_EQ(data[20'004], std::byte{2});
  EXPECT_EQ(data[20'005], std::byte{0});
  ASSERT_TRUE(SyncWait(loop_, chain->Close()));
}

TEST_F(MicaParentTest, ALoopOfParentsEnds) {
  CreateOptions options;
  options.virtual_size = 4096;
  options.parent = ParentReference{"b", "mica", std::nullopt};
  ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/a", options)));
  options.parent = ParentReference{"a", "mica", std::nullopt};
  ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/b", options)));
  EXPECT_EQ(Open(host_, "/a", false).error().code, Errc::kLimit);
}

TEST_F(MicaParentTest, ParentsAreFoundBesideTheChildAndTheirFormatIsNotGuessed) {
  CreateMaster("/dir/m1", format_);
  const LayerIdentity identity = SyncWait(loop_, format_.Seal(host_, "/dir/m1")).value();
  CreateOptions options;
  options.virtual_size = 20'000;
  options.parent = ParentReference{"../dir/m1", "mica", identity};
  ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/dir/delta", options)));
  EXPECT_TRUE(Open(host_, "/dir/delta", false).has_value());
  options.parent = ParentReference{"m1", "qcow9", identity};
  ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/dir/other", options)));
  const auto opened = Open(host_, "/dir/other", false);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Errc::kUnsupported);
  EXPECT_THAT(opened.error().message, HasSubstr("known are: mica, raw"));
}

}  // namespace
}  // namespace mica
