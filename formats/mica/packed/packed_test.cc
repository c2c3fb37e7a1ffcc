// SPDX-License-Identifier: Apache-2.0
// Packed images: the same content under the same identity, whatever the options; damage is found
// and named.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/async/epoll_loop.h"
#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "engine/chunk_cache.h"
#include "engine/io/memory_host.h"
#include "formats/mica/mica_format.h"
#include "formats/mica/packed/header.h"
#include "formats/open_chain.h"
#include "formats/registry.h"

namespace mica {
namespace {

using ::testing::HasSubstr;
using Data = std::vector<std::byte>;

// Text-like, noise, and what lies between.
Data Content(Prng& prng, size_t bytes) {
  Data data(bytes);
  const uint64_t kinds = prng.Below(3);
  for (std::byte& byte : data) {
    const uint64_t letters = kinds == 0 ? 4 : kinds == 1 ? 256 : 60;
    byte = static_cast<std::byte>(prng.Below(letters));
  }
  return data;
}

class PackedTest : public ::testing::Test {
 protected:
  std::unique_ptr<ImageChain> Open(const std::string& path, bool writable) {
    OpenChainOptions options;
    options.writable = writable;
    return SyncWait(loop_, OpenChain(host_, path, options)).value();
  }
  void Create(const std::string& path, uint64_t size, const std::string& parent = "") {
    CreateOptions options;
    options.virtual_size = size;
    options.extra["log_size"] = "32768";
    options.extra["uuid"] = "00112233-4455-4677-8899-aabbccddeeff";
    if (!parent.empty()) {
      options.extra.erase("uuid");
      ParentReference reference;
      reference.path = parent.substr(1);
      reference.format = "mica";
      reference.identity = SyncWait(loop_, format_.Seal(host_, parent)).value();
      options.parent = reference;
    }
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, path, options)));
  }
  // Pieces of all kinds, zeroes, discards.
  void Scribble(const std::string& path, uint64_t seed, int pieces) {
    Prng prng(seed);
    const auto chain = Open(path, true);
    const uint64_t size = chain->info().size;
    for (int i = 0; i < pieces; ++i) {
      const uint64_t offset = prng.Below(size);
      const uint64_t length = std::min<uint64_t>(1 + prng.Below(150'000), size - offset);
      if (prng.OneIn(5)) {
        const ByteRange range{offset, length};
        ASSERT_TRUE(
            SyncWait(loop_, chain->WriteZeroes(range, ZeroHint::kMayUnmap, Durability::kVolatile)));
      } else {
        const Data data = Content(prng, length);
        ASSERT_TRUE(SyncWait(loop_, chain->Write(offset, data, Durability::kVolatile)));
      }
    }
    ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  }
  PackTotals Pack(const std::string& from, const std::string& to, PackOptions options = {}) {
    if (options.level == PackOptions().level) options.level = 1;
    const Result<PackTotals> totals = SyncWait(loop_, format_.Pack(host_, from, to, options));
    EXPECT_TRUE(totals) << totals.error().message;
    return totals.value_or(PackTotals());
  }
  void Replace(const std::string& from, const std::string& to) {
    ASSERT_TRUE(SyncWait(loop_, host_.Rename(from, to)));
  }
  Data Read(const std::string& path) {
    const auto chain = Open(path, false);
    Data data(chain->info().size);
    const Result<void> read = SyncWait(loop_, chain->Read(0, data));
    EXPECT_TRUE(read) << read.error().message;
    return data;
  }
  // The same, in pieces that begin and end anywhere.
  Data ReadPieces(const std::string& path, uint64_t seed) {
    Prng prng(seed);
    const auto chain = Open(path, false);
    Data data(chain->info().size);
    for (size_t at = 0; at < data.size();) {
      const size_t length = std::min<size_t>(1 + prng.Below(70'000), data.size() - at);
      EXPECT_TRUE(SyncWait(loop_, chain->Read(at, Bytes(data).subspan(at, length))));
      at += length;
    }
    return data;
  }
  LayerInfo InfoOf(const std::string& path) { return Open(path, false)->layer(0).info(); }
  CheckReport Check(const std::string& path, CheckScope scope = CheckScope::kMetadataAndData) {
    return SyncWait(loop_, format_.Check(host_, path, scope)).value();
  }

  MemoryLoop loop_;
  MemoryHost host_{loop_};
  MicaFormat format_;
};

TEST_F(PackedTest, ReadsTheSameWithEveryChunkSize) {
  for (const uint64_t size :
       {uint64_t{1}, uint64_t{4096}, uint64_t{5 << 20}, uint64_t{9'999'999}}) {
    SCOPED_TRACE(size);
    const std::string master = fmt::format("/m{}", size);
    Create(master, size);
    Scribble(master, size, 30);
    const LayerIdentity identity = SyncWait(loop_, format_.Seal(host_, master)).value();
    const Data content = Read(master);
    for (const uint32_t chunk_bytes : {16384u, 32768u, 65536u}) {
      PackOptions options;
      options.chunk_bytes = chunk_bytes;
      const std::string packed = fmt::format("{}.{}", master, chunk_bytes);
      Pack(master, packed, options);
      EXPECT_EQ(Read(packed), content);
      EXPECT_EQ(ReadPieces(packed, size), content);
      const LayerInfo info = InfoOf(packed);
      EXPECT_EQ(info.identity, identity);
      EXPECT_EQ(info.format, "mica");
      EXPECT_TRUE(info.sealed);
      EXPECT_EQ(info.compression->chunk_bytes, chunk_bytes);
      EXPECT_EQ(Check(packed).corruptions, 0u);
      EXPECT_EQ(Check(packed).blocks_checked, Check(master).blocks_checked);
      const auto format = SyncWait(loop_, ProbeFormat(host_, packed)).value();
      EXPECT_EQ(format->name(), "mica");
    }
  }
}

TEST_F(PackedTest, AnEmptyImageAndOneOfZeroes) {
  Create("/empty", 10 << 20);
  ASSERT_TRUE(SyncWait(loop_, format_.Seal(host_, "/empty")));
  Pack("/empty", "/packed");
  EXPECT_EQ(Read("/packed"), Data(10 << 20));
  EXPECT_EQ(Check("/packed").corruptions, 0u);
  Create("/zeroes", 10 << 20, "/empty");
  {
    const auto chain = Open("/zeroes", true);
    ASSERT_TRUE(SyncWait(
        loop_, chain->WriteZeroes({0, 5 << 20}, ZeroHint::kMayUnmap, Durability::kVolatile)));
    ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  }
  ASSERT_TRUE(SyncWait(loop_, format_.Seal(host_, "/zeroes")));
  Pack("/zeroes", "/packed2");
  EXPECT_EQ(Read("/packed2"), Data(10 << 20));
  EXPECT_EQ(Check("/packed2").corruptions, 0u);
}

TEST_F(PackedTest, MasterAndDeltasKeepTheirChildren) {
  constexpr uint64_t kSize = 6 << 20;
  Create("/master", kSize);
  Scribble("/master", 1, 30);
  Create("/middle", kSize, "/master");
  Scribble("/middle", 2, 20);
  Create("/head", kSize, "/middle");
  Scribble("/head", 3, 10);
  const Data content = Read("/head");
  auto before = Open("/head", false);  // has the old files open throughout
  for (const std::string name : {"/master", "/middle"}) {
    Pack(name, "/new");
    Replace("/new", name);
    EXPECT_EQ(Read("/head"), content) << name;
  }
  const LayerInfo middle = InfoOf("/middle");
  EXPECT_TRUE(middle.compression);
  EXPECT_EQ(middle.parent->path, "master");
  EXPECT_EQ(middle.parent->identity, InfoOf("/master").identity);
  Data old(kSize);
  ASSERT_TRUE(SyncWait(loop_, before->Read(0, old)));
  EXPECT_EQ(old, content);
  before.reset();
  Scribble("/head", 4, 10);
  EXPECT_EQ(Check("/head").corruptions, 0u);
}

TEST_F(PackedTest, TheMapIsThatOfTheOriginal) {
  Create("/m", 20 << 20);
  Scribble("/m", 5, 25);
  ASSERT_TRUE(SyncWait(loop_, format_.Seal(host_, "/m")));
  Pack("/m", "/p");
  const auto original = Open("/m", false), packed = Open("/p", false);
  const ByteRange all{0, 20 << 20};
  EXPECT_EQ(SyncWait(loop_, original->Status(all, 10'000)).value(),
            SyncWait(loop_, packed->Status(all, 10'000)).value());
  // And all of it adds up, piece by piece.
  Prng prng(6);
  for (int i = 0; i < 200; ++i) {
    const uint64_t begin = prng.Below(5000) * 4096;
    const ByteRange range{begin,
                          std::min<uint64_t>((1 + prng.Below(300)) * 4096, all.end() - begin)};
    const Mapping mapping = SyncWait(loop_, packed->layer(0).Map(range)).value();
    uint64_t at = range.offset;
    for (const Extent& extent : mapping.extents) {
      ASSERT_EQ(extent.guest.offset, at);
      at += extent.guest.length;
      ASSERT_FALSE(extent.guest.empty());
    }
    ASSERT_EQ(at, range.end());
  }
}

TEST_F(PackedTest, IsNeverWritten) {
  Create("/m", 1 << 20);
  ASSERT_TRUE(SyncWait(loop_, format_.Seal(host_, "/m")));
  Pack("/m", "/p");
  OpenChainOptions options;
  options.writable = true;
  const auto writable = SyncWait(loop_, OpenChain(host_, "/p", options));
  ASSERT_FALSE(writable);
  EXPECT_EQ(writable.error().code, Errc::kReadOnly);
  const auto again = SyncWait(loop_, format_.Pack(host_, "/p", "/p2", PackOptions()));
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("compressed already"));
  EXPECT_EQ(SyncWait(loop_, format_.Seal(host_, "/p")).value(),
            SyncWait(loop_, format_.Seal(host_, "/m")).value());
}

TEST_F(PackedTest, RefusesWhatItCannotPack) {
  Create("/m", 1 << 20);
  const auto pack = [this](PackOptions options) {
    const auto packed = SyncWait(loop_, format_.Pack(host_, "/m", "/p", options));
    return packed ? std::string() : packed.error().message;
  };
  EXPECT_THAT(pack(PackOptions()), HasSubstr("mica seal /m"));
  ASSERT_TRUE(SyncWait(loop_, format_.Seal(host_, "/m")));
  PackOptions options;
  options.level = 20;
  EXPECT_THAT(pack(options), HasSubstr("1 to 19"));
  options = PackOptions();
  options.chunk_bytes = 4096;
  EXPECT_THAT(pack(options), HasSubstr("16K, 32K and 64K"));
  Result<const ImageFormat*> raw = FindFormat("raw");
  const auto of_raw = SyncWait(loop_, (*raw)->Pack(host_, "/m", "/p", PackOptions()));
  ASSERT_FALSE(of_raw);
  EXPECT_THAT(of_raw.error().message, HasSubstr("mica convert -O mica"));
}

TEST_F(PackedTest, ThreadsDoNotChangeTheFile) {
  Create("/m", 24 << 20);
  Scribble("/m", 8, 200);
  ASSERT_TRUE(SyncWait(loop_, format_.Seal(host_, "/m")));
  Pack("/m", "/p");
  const Data alone = host_.Content("/p").value();
  const auto epoll = EpollLoop::Create().value();
  MemoryHost other(*epoll, {}, host_.disk().AfterPowerCut({PowerCutKind::kKeepAll, 0}));
  for (const uint32_t threads : {1u, 3u}) {
    PackOptions options;
    options.level = 1;
    options.threads = threads;
    uint64_t last = 0;
    options.on_progress = [&last](const PackTotals& totals) {
      EXPECT_GT(totals.content_bytes, last);
      EXPECT_LE(totals.content_bytes, totals.goal_bytes);
      last = totals.content_bytes;
    };
    const std::string name = fmt::format("/p{}", threads);
    const auto totals = SyncWait(*epoll, format_.Pack(other, "/m", name, options));
    ASSERT_TRUE(totals) << totals.error().message;
    EXPECT_EQ(last, totals->goal_bytes);
    EXPECT_EQ(other.Content(name).value(), alone);
  }
}

// Large enough for tables of several levels.
TEST_F(PackedTest, TablesOfManyPages) {
  Create("/m", uint64_t{1} << 40);
  Prng prng(9);
  {
    const auto chain = Open("/m", true);
    for (uint64_t i = 0; i < 3000; ++i) {
      const Data data(4096, static_cast<std::byte>(i));
      ASSERT_TRUE(SyncWait(loop_, chain->Write((i * 53 << 16) + prng.Below(16) * 4096, data,
                                               Durability::kVolatile)));
    }
    const Data much(40 << 20, std::byte{7});
    ASSERT_TRUE(SyncWait(loop_, chain->Write(uint64_t{900} << 30, much, Durability::kVolatile)));
    ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  }
  ASSERT_TRUE(SyncWait(loop_, format_.Seal(host_, "/m")));
  PackOptions options;
  options.chunk_bytes = 16384;
  Pack("/m", "/p", options);
  const Data head = host_.Content("/p").value();
  const packed::Header header = packed::DecodeHeader(ConstBytes(head).first(4096)).value();
  EXPECT_EQ(header.extents.levels, 2u);
  EXPECT_EQ(header.chunks.levels, 2u);
  EXPECT_EQ(Check("/p").corruptions, 0u);
  const auto original = Open("/m", false), packed = Open("/p", false);
  for (uint64_t i = 0; i < 3000; i += 7) {
    Data a(65536), b(65536);
    ASSERT_TRUE(SyncWait(loop_, original->Read(i * 53 << 16, a)));
    ASSERT_TRUE(SyncWait(loop_, packed->Read(i * 53 << 16, b)));
    ASSERT_EQ(a, b) << i;
  }
}

}  // namespace
}  // namespace mica
