// SPDX-License-Identifier: Apache-2.0
// Damaged, cut and crafted packed images: whatever is opened and read gives an error or the right
// data.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "engine/chunk_cache.h"
#include "engine/digest.h"
#include "engine/io/memory_host.h"
#include "formats/mica/mica_format.h"
#include "formats/mica/packed/table_reader.h"
#include "formats/open_chain.h"

namespace mica {
namespace {

using packed::Header;
using packed::kPageBytes;
using ::testing::HasSubstr;
using Data = std::vector<std::byte>;

constexpr uint64_t kSize = (uint64_t{1} << 30) + 5000;
constexpr uint64_t kNoise = 3 << 20;  // where nothing can be compressed

class PackedBadInputTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // Otherwise what was read once would hide damage.
    ChunkCache::OfProcess().SetBytesMax(0);
    CreateOptions options;
    options.virtual_size = kSize;
    options.extra["log_size"] = "32768";
    ASSERT_TRUE(SyncWait(loop_, format_.Create(host_, "/d", options)));
    {
      OpenChainOptions open;
      open.writable = true;
      const auto chain = SyncWait(loop_, OpenChain(host_, "/d", open)).value();
      Prng prng(1);
      for (uint64_t i = 0; i < 200; ++i) Write(*chain, prng, i * 12288, 4096, 4);
      Write(*chain, prng, kNoise + (1 << 20), 100'000, 256);
      Write(*chain, prng, 8 << 20, 1 << 20, 16);
      Write(*chain, prng, kSize - 4000, 4000, 4);
      ASSERT_TRUE(SyncWait(loop_, chain->Close()));
    }
    ASSERT_TRUE(SyncWait(loop_, format_.Seal(host_, "/d")));
    PackOptions pack;
    pack.level = 1;
    ASSERT_TRUE(SyncWait(loop_, format_.Pack(host_, "/d", "/p", pack)));
    whole_ = host_.Content("/p").value();
    header_ = packed::DecodeHeader(ConstBytes(whole_).first(kPageBytes)).value();
  }
  void TearDown() override { ChunkCache::OfProcess().SetBytesMax(ChunkCache::kBytesMaxDefault); }

  void Write(ImageChain& chain, Prng& prng, uint64_t offset, uint64_t length, uint64_t letters) {
    Data data(length);
    for (std::byte& byte : data) byte = static_cast<std::byte>(prng.Below(letters));
    ASSERT_TRUE(SyncWait(loop_, chain.Write(offset, data, Durability::kVolatile)));
    content_[offset] = data;
  }
  // "" when every read gives an error or the right data; otherwise what is wrong. Counts errors.
  std::string ReadAll() {
    errors_ = 0;
    const auto chain = SyncWait(loop_, OpenChain(host_, "/p", OpenChainOptions()));
    if (!chain) {
      ++errors_;
      last_error_ = chain.error().message;
      return {};
    }
    for (const auto& [offset, expected] : content_) {
      Data data(expected.size());
      const Result<void> read = SyncWait(loop_, (*chain)->Read(offset, data));
      if (!read) {
        ++errors_;
        last_error_ = read.error().message;
      } else if (data != expected) {
        return fmt::format("wrong data at {}", offset);
      }
    }
    return {};
  }
  void Put(uint64_t offset, ConstBytes bytes) { host_.disk().Find("/p")->Damage(offset, bytes); }
  Result<CheckReport> Check(CheckScope scope) {
    return SyncWait(loop_, format_.Check(host_, "/p", scope));
  }
  // Flips a bit of some bytes of the range and looks. Counts those that nobody noticed.
  void FlipEach(uint64_t begin, uint64_t end, uint64_t step) {
#if defined(__SANITIZE_ADDRESS__)
    step *= 17;
#endif
    for (uint64_t at = begin; at < end; at += step) {
      const std::byte flipped = whole_[at] ^ static_cast<std::byte>(1 << at % 8);
      Put(at, ConstBytes(&flipped, 1));
      ASSERT_EQ(ReadAll(), "") << "byte " << at << " flipped";
      const auto report = Check(CheckScope::kMetadata);
      unnoticed_ += errors_ == 0 && report && report->corruptions == 0 ? 1 : 0;
      Put(at, ConstBytes(&whole_[at], 1));
    }
    ASSERT_EQ(ReadAll(), "");
    ASSERT_EQ(errors_, 0);
  }
  // Pages of the tables, by walking them.
  std::vector<uint64_t> TablePages() {
    std::vector<uint64_t> pages = {header_.extents.page, header_.chunks.page};
    OpenOptions options;
    const auto file = SyncWait(loop_, host_.Open("/p", options)).value();
    packed::TableReader reader(*file, header_);
    for (uint64_t key = 0; key < header_.ChunkCount();) {
      const auto found = SyncWait(loop_, reader.Find(packed::Table::kChunks, key)).value();
      pages.push_back(found.page->reference().page);
      key = found.end_key;
    }
    return pages;
  }
  // Changes a page of the extent or chunk table, which has one page, and makes all hashes right.
  void Forge(packed::TableRoot Header::* table, const std::function<void(Bytes)>& change) {
    Header header = header_;
    packed::TableRoot& root = header.*table;
    Data page(whole_.begin() + static_cast<ptrdiff_t>(root.page * kPageBytes),
              whole_.begin() + static_cast<ptrdiff_t>((root.page + 1) * kPageBytes));
    change(page);
    root.hash = DigestBlock(page);
    Put(root.page * kPageBytes, page);
    PutHeader(header);
  }
  void PutHeader(const Header& header) {
    Data page(kPageBytes);
    EncodeHeader(header, page);
    Put(0, page);
    Put(kPageBytes, page);
  }
  void Restore() { Put(0, whole_); }

  MemoryLoop loop_;
  MemoryHost host_{loop_};
  MicaFormat format_;
  std::map<uint64_t, Data> content_;
  Data whole_;
  Header header_;
  int errors_ = 0;
  int unnoticed_ = 0;
  std::string last_error_;
};

TEST_F(PackedBadInputTest, EveryByteOfOneHeaderMayBeDamaged) {
  for (const uint64_t page : {0, 1}) {
    for (uint64_t at = page * kPageBytes; at < (page + 1) * kPageBytes; ++at) {
      const std::byte flipped = whole_[at] ^ static_cast<std::byte>(1 << at % 8);
      Data copy(whole_.begin(), whole_.begin() + kPageBytes);
      copy[at % kPageBytes] = flipped;
      ASSERT_FALSE(packed::DecodeHeader(copy)) << at;
      if (at % 31 != 0) continue;
      Put(at, ConstBytes(&flipped, 1));
      ASSERT_TRUE(SyncWait(loop_, OpenChain(host_, "/p", OpenChainOptions()))) << at;
      Put(at, ConstBytes(&whole_[at], 1));
    }
  }
  // Of both: an error, and never a raw image.
  const Data zeroes(100);
  Put(0, zeroes);
  Put(kPageBytes + 8, zeroes);
  ASSERT_EQ(ReadAll(), "");
  EXPECT_THAT(last_error_, HasSubstr("both headers are damaged"));
}

TEST_F(PackedBadInputTest, EveryByteOfTheTablesIsVerified) {
  OpenOptions options;
  const auto file = SyncWait(loop_, host_.Open("/p", options)).value();
  packed::TableReader reader(*file, header_);
  for (const packed::Table table : {packed::Table::kExtents, packed::Table::kChunks}) {
    const auto leaf = SyncWait(loop_, reader.Find(table, 0)).value();
    const packed::PageReference& reference = leaf.page->reference();
    for (size_t at = 0; at < kPageBytes; ++at) {
      AlignedBuffer page(kPageBytes);
      ASSERT_TRUE(SyncWait(loop_, file->Read(reference.page * kPageBytes, page.span())));
      ASSERT_TRUE(at != 0 || packed::TablePage::Decode(std::move(page), header_, reference));
      if (at == 0) continue;
      page.span()[at - 1] ^= static_cast<std::byte>(1 << at % 8);
      ASSERT_FALSE(packed::TablePage::Decode(std::move(page), header_, reference)) << at;
    }
  }
  for (const uint64_t page : TablePages()) {
    FlipEach(page * kPageBytes, (page + 1) * kPageBytes, 61);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(unnoticed_, 0);
}

TEST_F(PackedBadInputTest, DamagedChunksAreNamedAndFoundByCheck) {
  FlipEach(header_.extents.page * kPageBytes + kPageBytes, whole_.size(), 16381);
  OpenOptions options;
  const auto file = SyncWait(loop_, host_.Open("/p", options)).value();
  packed::TableReader reader(*file, header_);
  const auto leaf = SyncWait(loop_, reader.Find(packed::Table::kChunks, 2)).value();
  const CompressedChunk chunk = leaf.page->Chunk(*leaf.page->LastAtOrBelow(2), header_);
  const std::byte flipped = whole_[chunk.host_offset + 9] ^ std::byte{1};
  Put(chunk.host_offset + 9, ConstBytes(&flipped, 1));
  ASSERT_EQ(ReadAll(), "");
  EXPECT_EQ(errors_, 8);  // the blocks of one chunk
  EXPECT_THAT(last_error_, HasSubstr(fmt::format("file offset {}", chunk.host_offset)));
  EXPECT_THAT(last_error_, HasSubstr(fmt::format("guest offset {}", 23 * 12288)));
  EXPECT_EQ(Check(CheckScope::kMetadata)->corruptions, 0u);
  const CheckReport report = Check(CheckScope::kMetadataAndData).value();
  EXPECT_EQ(report.corruptions, 8u);
  EXPECT_EQ(report.findings.front().guest, (ByteRange{16 * 12288, 4096}));
}

TEST_F(PackedBadInputTest, EveryLengthGivesAnErrorOrTheRightData) {
  OpenOptions options;
  options.writable = true;
  const auto file = SyncWait(loop_, host_.Open("/p", options)).value();
  for (uint64_t length = whole_.size(); length > 0; length -= std::min<uint64_t>(length, 5000)) {
    ASSERT_TRUE(SyncWait(loop_, file->Resize(length)));
    ASSERT_EQ(ReadAll(), "");
    ASSERT_EQ(errors_ > 0, length < whole_.size());
  }
}

TEST_F(PackedBadInputTest, CraftedHeadersAreErrors) {
  const auto refused = [this](const std::function<void(Header&)>& change) {
    Header header = header_;
    change(header);
    PutHeader(header);
    const bool opened = SyncWait(loop_, OpenChain(host_, "/p", OpenChainOptions())).has_value();
    return !opened;
  };
  EXPECT_TRUE(refused([](Header& h) { h.chunk_bytes = 4096; }));
  EXPECT_TRUE(refused([](Header& h) { h.chunk_bytes = 0; }));
  EXPECT_TRUE(refused([](Header& h) { h.identity.virtual_size = uint64_t{1} << 63; }));
  EXPECT_TRUE(refused([](Header& h) { h.parent_bytes = h.identity.virtual_size + 1; }));
  EXPECT_TRUE(refused([](Header& h) { h.file_bytes += kPageBytes; }));
  EXPECT_TRUE(refused([](Header& h) { h.file_bytes = 0; }));
  EXPECT_TRUE(refused([](Header& h) { h.file_bytes += 1; }));
  EXPECT_TRUE(refused([](Header& h) { h.data_blocks = uint64_t{1} << 60; }));
  EXPECT_TRUE(refused([](Header& h) { h.data_blocks = 0; }));
  EXPECT_TRUE(refused([](Header& h) { h.stored_bytes = UINT64_MAX; }));
  EXPECT_TRUE(refused([](Header& h) { h.extents.page = 1; }));
  EXPECT_TRUE(refused([](Header& h) { h.extents.page = UINT64_MAX; }));
  EXPECT_TRUE(refused([](Header& h) { h.chunks.levels = 9; }));
  EXPECT_TRUE(refused([](Header& h) { h.chunks = {}; }));
  EXPECT_TRUE(refused([](Header& h) { h.extents = {}; }));
}

TEST_F(PackedBadInputTest, CraftedTablesAreErrors) {
  ASSERT_EQ(header_.extents.levels, 1u);
  ASSERT_EQ(header_.chunks.levels, 2u);
  constexpr size_t kFirst = 16;
  const auto extents = &Header::extents;
  // Each: what is changed, and the error it has to give where it matters.
  const auto expect_error = [this](packed::TableRoot Header::* table, std::string_view what,
                                   const std::function<void(Bytes)>& change) {
    Forge(table, change);
    ASSERT_EQ(ReadAll(), "") << what;
    EXPECT_GT(errors_, 0) << what;
    const auto report = Check(CheckScope::kMetadataAndData);
    EXPECT_TRUE(!report || report->corruptions > 0) << what;
    Restore();
  };
  expect_error(extents, "kind", [](Bytes page) { page[0] = std::byte{2}; });
  expect_error(extents, "level", [](Bytes page) { page[1] = std::byte{1}; });
  expect_error(extents, "no records", [](Bytes page) { StoreLe<uint16_t>(page, 2, 0); });
  expect_error(extents, "too many", [](Bytes page) { StoreLe<uint16_t>(page, 2, 65535); });
  expect_error(extents, "first key", [](Bytes page) { StoreLe<uint64_t>(page, 8, kSize); });
  expect_error(extents, "state", [](Bytes page) { page[kFirst + 7] = std::byte{9}; });
  expect_error(extents, "no blocks", [](Bytes page) { StoreLe<uint32_t>(page, kFirst + 8, 0); });
  expect_error(extents, "blocks",
               [](Bytes page) { StoreLe<uint32_t>(page, kFirst + 8, UINT32_MAX); });
  expect_error(extents, "rank",
               [](Bytes page) { StoreLe<uint32_t>(page, kFirst + 12, UINT32_MAX); });
  // A crafted rank shows another block, whose checksum is right; check sees that ranks must follow.
  Forge(extents, [](Bytes page) { page[kFirst + 12] = std::byte{9}; });
  EXPECT_GT(Check(CheckScope::kMetadata)->corruptions, 0u);
  Restore();
  const auto chunks = &Header::chunks;
  expect_error(chunks, "itself as its child",
               [this](Bytes page) { StoreLe<uint64_t>(page, kFirst + 8, header_.chunks.page); });
  expect_error(chunks, "page", [](Bytes page) { StoreLe<uint64_t>(page, kFirst + 8, UINT64_MAX); });
  expect_error(chunks, "key", [](Bytes page) { StoreLe<uint64_t>(page, kFirst + 24, 0); });
  expect_error(chunks, "keys", [](Bytes page) { StoreLe<uint64_t>(page, kFirst + 24, 1 << 20); });
  expect_error(chunks, "one page twice", [](Bytes page) {
    StoreLe<uint64_t>(page, kFirst + 24 + 8, LoadLe<uint64_t>(page, kFirst + 8));
    StoreLe<uint64_t>(page, kFirst + 24 + 16, LoadLe<uint64_t>(page, kFirst + 16));
  });
}

}  // namespace
}  // namespace mica
