// SPDX-License-Identifier: Apache-2.0
// Chains that share parents, and the index file beside them.
#include "formats/parent_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "engine/io/memory_host.h"
#include "formats/open_chain.h"
#include "formats/registry.h"

namespace mica {
namespace {

using Data = std::vector<std::byte>;

constexpr uint64_t kBlock = 4096;
constexpr uint64_t kSize = 3 * kIndexRegionBytes + 700;

class ParentCacheTest : public testing::Test {
 protected:
  // /0 is a master, /1 its sealed child, and so on; `layers` of them. Block i and i + one region of
  // layer i hold i + 1, and block 50 the number of the last layer.
  void MakeLayers(size_t layers) {
    for (size_t i = 0; i < layers; ++i) {
      const std::string path = Name(i);
      Create(path, i == 0 ? std::nullopt : std::optional(Name(i - 1)));
      const std::byte value{static_cast<uint8_t>(i + 1)};
      Fill(path, {i, i + kIndexRegionBlocks, 50}, value);
      identities_[path] = SyncWait(loop_, format_.Seal(host_, path)).value();
    }
  }
  void Fill(const std::string& path, const std::vector<uint64_t>& blocks, std::byte value) {
    const auto chain = Open(path, true).value();
    const Data data(kBlock, value);
    for (const uint64_t block : blocks) {
      ASSERT_TRUE(SyncWait(loop_, chain->Write(block * kBlock, data, Durability::kVolatile)));
    }
    ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  }
  static std::string Name(size_t i) { return "/" + std::to_string(i); }

  void Create(const std::string& path, const std::optional<std::string>& parent) {
    CreateOptions options;
    options.virtual_size = kSize;
    if (parent) options.parent = ParentReference{parent->substr(1), "mica", identities_[*parent]};
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, path, options)));
  }
  Result<std::unique_ptr<ImageChain>> Open(const std::string& path, bool writable) {
    OpenChainOptions options;
    options.writable = writable;
    options.parents = &cache_;
    return SyncWait(loop_, OpenChain(host_, path, options));
  }
  std::byte ReadByte(ImageChain& chain, uint64_t block) {
    Data back(1);
    const Result<void> read = SyncWait(loop_, chain.Read(block * kBlock, back));
    EXPECT_TRUE(read) << read.error().message;
    return back[0];
  }
  // All that MakeLayers wrote.
  void ExpectContent(ImageChain& chain, size_t layers) {
    for (size_t i = 0; i < layers; ++i) {
      EXPECT_EQ(ReadByte(chain, i), std::byte(i + 1)) << i;
      EXPECT_EQ(ReadByte(chain, i + kIndexRegionBlocks), std::byte(i + 1)) << i;
    }
    EXPECT_EQ(ReadByte(chain, 50), std::byte(layers));
    EXPECT_EQ(ReadByte(chain, 51), std::byte{0});
    EXPECT_EQ(ReadByte(chain, 2 * kIndexRegionBlocks), std::byte{0});
  }
  // A chain of its own process, so to speak: nothing is shared, the index file is all it has.
  uint64_t RegionsBuiltByAFreshChain(const std::string& path, size_t layers) {
    ParentCacheOptions fresh_options;
    fresh_options.note = [this](const std::string& what) { notes_.push_back(what); };
    ParentCache fresh(host_, fresh_options);
    OpenChainOptions options;
    options.parents = &fresh;
    const auto chain = SyncWait(loop_, OpenChain(host_, path, options)).value();
    ExpectContent(*chain, layers);
    const uint64_t built = chain->parents()->index()->regions_built();
    EXPECT_TRUE(SyncWait(loop_, chain->Close()));
    return built;
  }
  void Damage(const std::string& path, uint64_t offset) {
    const std::byte was = host_.Content(path).value()[offset];
    const Data other{was ^ std::byte{0x40}};
    host_.disk().Find(path)->Damage(offset, other);
  }

  MemoryLoop loop_;
  MemoryHost host_{loop_};
  const ImageFormat& format_ = *FindFormat("mica").value();
  ParentCache cache_{host_};
  std::map<std::string, LayerIdentity> identities_;
  std::vector<std::string> notes_;
};

TEST_F(ParentCacheTest, HeadsOnTheSameParentsShareThem) {
  MakeLayers(3);
  Create("/a", "/2");
  Create("/b", "/2");
  Create("/c", "/0");
  const auto a = Open("/a", true).value();
  const auto b = Open("/b", true).value();
  const auto c = Open("/c", true).value();
  EXPECT_EQ(a->parents(), b->parents());
  EXPECT_NE(a->parents(), c->parents());
  // The master is open once, also under a stack of its own.
  EXPECT_EQ(&a->layer(3), &c->layer(1));
  EXPECT_EQ(host_.disk().Find("/0")->shared_locks, 1u);
  ExpectContent(*a, 3);
  ExpectContent(*b, 3);
  EXPECT_EQ(b->parents()->index()->regions_built(), 3u);
  // A head that is only read is one more user of what is open.
  const auto master = Open("/0", false).value();
  EXPECT_EQ(&master->layer(0), &c->layer(1));
}

TEST_F(ParentCacheTest, ClosesParentsWithTheirLastUser) {
  MakeLayers(2);
  Create("/a", "/1");
  Create("/b", "/1");
  auto a = Open("/a", true).value();
  auto b = Open("/b", true).value();
  ASSERT_TRUE(SyncWait(loop_, a->Close()));
  a.reset();
  EXPECT_EQ(host_.disk().Find("/0")->shared_locks, 1u);
  ExpectContent(*b, 2);
  ASSERT_TRUE(SyncWait(loop_, b->Close()));
  b.reset();
  EXPECT_EQ(host_.disk().Find("/0")->shared_locks, 0u);
}

TEST_F(ParentCacheTest, AReplacedParentIsNotTheOneThatIsOpen) {
  MakeLayers(2);
  Create("/a", "/1");
  Create("/b", "/1");
  const auto a = Open("/a", true).value();
  Create("/other", std::nullopt);
  ASSERT_TRUE(SyncWait(loop_, format_.Seal(host_, "/other")));
  ASSERT_TRUE(SyncWait(loop_, host_.Rename("/other", "/0")));
  // The identity of what is there now is not the one that /1 was made on.
  EXPECT_EQ(Open("/b", true).error().code, Errc::kMismatch);
  ExpectContent(*a, 2);
}

TEST_F(ParentCacheTest, AWrongParentIsRefusedThoughTheRightOneIsOpen) {
  MakeLayers(2);
  Create("/a", "/1");
  const auto a = Open("/a", true).value();
  identities_["/1"].digest[0] ^= 1;
  Create("/b", "/1");
  EXPECT_EQ(Open("/b", true).error().code, Errc::kMismatch);
}

TEST_F(ParentCacheTest, TheIndexIsKeptFromOneProcessToTheNext) {
  MakeLayers(4);
  Create("/a", "/3");
  EXPECT_EQ(RegionsBuiltByAFreshChain("/a", 4), 3u);
  ASSERT_TRUE(host_.Content("/3.index").has_value());
  notes_.clear();
  EXPECT_EQ(RegionsBuiltByAFreshChain("/a", 4), 0u);
  EXPECT_THAT(notes_, testing::IsEmpty());
  // The last region, which only this one asks for, joins the others.
  {
    const auto chain = Open("/a", false).value();
    EXPECT_EQ(ReadByte(*chain, 3 * kIndexRegionBlocks), std::byte{0});
    EXPECT_EQ(chain->parents()->index()->regions_built(), 1u);
    ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  }
  EXPECT_EQ(RegionsBuiltByAFreshChain("/a", 4), 0u);
}

TEST_F(ParentCacheTest, SealingPreparesTheIndexOfFutureChildren) {
  MakeLayers(3);
  ASSERT_TRUE(SyncWait(loop_, PrepareIndex(host_, "/2")));
  Create("/a", "/2");
  EXPECT_EQ(RegionsBuiltByAFreshChain("/a", 3), 0u);
  ASSERT_TRUE(SyncWait(loop_, PrepareIndex(host_, "/0")));  // has no parent
  EXPECT_FALSE(host_.Content("/0.index").has_value());
}

TEST_F(ParentCacheTest, ADamagedIndexIsMadeAgain) {
  MakeLayers(3);
  Create("/a", "/2");
  EXPECT_EQ(RegionsBuiltByAFreshChain("/a", 3), 3u);
  const size_t bytes = host_.Content("/2.index").value().size();
  // Header, table, and the entries of each region; every second byte of what is not zero.
  int damaged = 0;
  for (size_t at = 0; at < bytes; at += 2) {
    if (host_.Content("/2.index").value()[at] == std::byte{0}) continue;
    Damage("/2.index", at);
    notes_.clear();
    EXPECT_GT(RegionsBuiltByAFreshChain("/a", 3), 0u) << at;
    EXPECT_THAT(notes_, testing::Not(testing::IsEmpty())) << at;
    ++damaged;
    ASSERT_EQ(RegionsBuiltByAFreshChain("/a", 3), 0u) << at;
  }
  EXPECT_GT(damaged, 20);
}

TEST_F(ParentCacheTest, AShortOrForeignIndexIsMadeAgain) {
  MakeLayers(3);
  Create("/a", "/2");
  EXPECT_EQ(RegionsBuiltByAFreshChain("/a", 3), 3u);
  const size_t bytes = host_.Content("/2.index").value().size();
  for (const size_t size : {size_t{0}, size_t{100}, size_t{4096}, size_t{8192}, bytes - 1}) {
    OpenOptions options;
    options.writable = true;
    const auto file = SyncWait(loop_, host_.Open("/2.index", options)).value();
    ASSERT_TRUE(SyncWait(loop_, file->Resize(size)));
    EXPECT_GT(RegionsBuiltByAFreshChain("/a", 3), 0u) << size;
    EXPECT_EQ(RegionsBuiltByAFreshChain("/a", 3), 0u) << size;
  }
  // That of another stack under the name: as when the image of the name was replaced.
  Create("/x", "/1");
  Fill("/x", {2, 2 + kIndexRegionBlocks, 50}, std::byte{3});
  identities_["/x"] = SyncWait(loop_, format_.Seal(host_, "/x")).value();
  Create("/y", "/x");
  ASSERT_TRUE(SyncWait(loop_, host_.Rename("/2.index", "/x.index")));
  EXPECT_EQ(RegionsBuiltByAFreshChain("/y", 3), 3u);
  EXPECT_EQ(RegionsBuiltByAFreshChain("/y", 3), 0u);
}

TEST_F(ParentCacheTest, AnIndexThatCannotBeWrittenIsNoError) {
  MakeLayers(3);
  Create("/a", "/2");
  host_.faults().SetFaultHook([](const HostCall& call) -> std::optional<Fault> {
    if (call.kind != HostCallKind::kWrite || !call.path.ends_with(".index.tmp")) return {};
    return Fault{ENOSPC, 0};
  });
  EXPECT_EQ(RegionsBuiltByAFreshChain("/a", 3), 3u);
  EXPECT_EQ(RegionsBuiltByAFreshChain("/a", 3), 3u);
  EXPECT_FALSE(host_.Content("/2.index").has_value());
  EXPECT_FALSE(host_.Content("/2.index.tmp").has_value());
}

TEST_F(ParentCacheTest, ParentsThatAreNotSealedHaveNoIndexFile) {
  Create("/0", std::nullopt);
  CreateOptions middle;
  middle.virtual_size = kSize;
  middle.parent = ParentReference{"0", "mica", std::nullopt};
  ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/1", middle)));
  middle.parent = ParentReference{"1", "mica", std::nullopt};
  ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/2", middle)));
  const auto chain = Open("/2", true).value();
  EXPECT_EQ(ReadByte(*chain, 0), std::byte{0});
  EXPECT_EQ(chain->parents()->index()->regions_built(), 1u);
  ASSERT_TRUE(SyncWait(loop_, chain->Close()));
  EXPECT_FALSE(host_.Content("/1.index").has_value());
}

}  // namespace
}  // namespace mica
