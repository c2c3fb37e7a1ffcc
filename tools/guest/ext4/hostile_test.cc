// SPDX-License-Identifier: Apache-2.0
// Guests may say anything in their metadata: whatever it is, reading and writing end with a result
// or an error, in bounded time and memory. Run under ASan this is the test that matters. Prints its
// seed; MICA_SEED=n replays one, MICA_ROUNDS=n does more.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "engine/base/prng.h"
#include "tools/guest/ext4/writer_test_support.h"
#include "tools/guest/overlay_device.h"

namespace mica::guest::testing {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// A small tree with every form of metadata.
void Populate(const std::string& image) {
  WriteSession session(image);
  Ext4Writer& writer = session.writer();
  const NewObject directory = MakeNew(ObjectKind::kDirectory, 0755);
  const auto many = writer.Create({EXT2_ROOT_INO, "many"}, directory);
  ASSERT_TRUE(many);
  for (int i = 0; i < 300; ++i)
    WriteFile(writer, {*many, fmt::format("a-file-with-a-long-name-{}", i)}, "x");
  const auto deep = writer.Create({*many, "deep"}, directory);
  ASSERT_TRUE(deep);
  NewObject link = MakeNew(ObjectKind::kSymlink, 0777);
  for (const size_t size : {5, 300}) {
    link.symlink_target = std::string(size, 's');
    ASSERT_TRUE(writer.Create({*deep, fmt::format("link-{}", size)}, link));
  }
  NewObject attributed = MakeNew(ObjectKind::kRegular);
  attributed.attributes.xattrs["user.in-inode"] = "v";
  attributed.attributes.xattrs["user.in-block"] = std::string(500, 'v');
  const auto scattered = writer.Create({*deep, "scattered"}, attributed);
  ASSERT_TRUE(scattered);
  auto file = writer.OpenFile(*scattered);
  ASSERT_TRUE(file);
  for (uint64_t i = 0; i < 300; ++i) ASSERT_TRUE(file->Write(i * 4096, AsBytes(Pattern(i, 100))));
  ASSERT_TRUE(file->Finish());
  session.Finish();
}

// Everything a reader does, with a bound on how much of a hostile tree is looked at.
class Reader {
 public:
  explicit Reader(Ext4Volume& volume) : volume_(volume) {}

  void Run() {
    Visit(volume_.root(), 0);
    for (uint64_t inode = 1; inode < 40; ++inode) Touch(inode);
  }

 private:
  void Visit(uint64_t directory, int depth) {
    if (depth > 6) return;
    const auto entries = volume_.List(directory);
    if (!entries) return;
    for (const DirectoryEntry& entry : *entries) {
      if (++visited_ > 2000) return;
      (void)volume_.LookupIn(directory, entry.name);
      Touch(entry.inode);
      if (entry.kind == ObjectKind::kDirectory) Visit(entry.inode, depth + 1);
    }
  }

  void Touch(uint64_t inode) {
    (void)volume_.Stat(inode);
    const auto ranges = volume_.StoredRanges(inode);
    if (!ranges) return;
    std::vector<std::byte> buffer(20'000);
    (void)volume_.Read(inode, 0, buffer);
    if (!ranges->empty()) (void)volume_.Read(inode, ranges->back().offset, buffer);
  }

  Ext4Volume& volume_;
  int visited_ = 0;
};

void Change(Ext4Volume& volume) {
  Ext4Writer writer(volume, {kTestNow, 3});
  (void)writer.Create({EXT2_ROOT_INO, "new"}, MakeNew(ObjectKind::kDirectory, 0755));
  const auto many = volume.LookupIn(EXT2_ROOT_INO, "many");
  if (!many || !*many) return;
  for (int i = 0; i < 20; ++i) {
    (void)writer.Create({**many, fmt::format("another-{}", i)}, MakeNew(ObjectKind::kRegular));
    (void)writer.Remove({**many, fmt::format("a-file-with-a-long-name-{}", i)});
  }
  (void)writer.Rename({**many, "deep"}, {EXT2_ROOT_INO, "moved"});
  const auto scattered = LookupPath(volume, "/moved/scattered");
  if (!scattered || !*scattered) return;
  Attributes attributes;
  attributes.xattrs["user.in-block"] = std::string(100, 'w');
  (void)writer.SetAttributes(**scattered, attributes);
  auto file = writer.OpenFile(**scattered);
  if (!file) return;
  (void)file->Write(5000, AsBytes(Pattern(1, 9000)));
  (void)file->Resize(100'000);
  (void)file->Finish();
  (void)writer.Remove({EXT2_ROOT_INO, "moved"});
}

class HostileTest : public ::testing::TestWithParam<MkfsVariant> {
 protected:
  void SetUp() override {
    image_ = scratch_.Path("fs.img");
    MakeFs(image_, GetParam());
    Populate(image_);
  }

  // Flips bytes, mostly in fields, sometimes whole words to extreme values.
  static void Damage(SyncDevice& device, Prng& prng) {
    constexpr uint32_t kExtremes[] = {0, 1, 0x7fffffff, 0x80000000, 0xffffffff, 0xffff, 0x10000};
    for (uint64_t i = 1 + prng.Below(12); i > 0; --i) {
      const uint64_t at = prng.OneIn(6) ? 1024 + prng.Below(1024) : prng.Below(2 << 20);
      if (prng.OneIn(2)) {
        const std::byte value[] = {static_cast<std::byte>(prng.Next())};
        ASSERT_TRUE(device.Write(at, value));
      } else {
        std::byte word[4];
        StoreLe(Bytes(word), 0, kExtremes[prng.Below(std::size(kExtremes))]);
        ASSERT_TRUE(device.Write(at & ~uint64_t{3}, word));
      }
    }
  }

  ScratchFolder scratch_;
  std::string image_;
};

TEST_P(HostileTest, DamagedMetadataNeverDoesMoreThanFail) {
  const uint64_t first = FromEnvironment("MICA_SEED", 1);
  const uint64_t rounds =
      FromEnvironment("MICA_ROUNDS", std::getenv("MICA_SEED") != nullptr ? 1 : 150);
  MemoryLoop loop;
  FileDevice device(image_);
  uint64_t opened = 0;
  for (uint64_t seed = first; seed < first + rounds; ++seed) {
    SCOPED_TRACE(fmt::format("MICA_SEED={}", seed));
    Prng prng(seed);
    OverlayDevice overlay(device, 64 << 20);
    SyncDevice sync(loop, overlay);
    Damage(sync, prng);
    const auto volume = Ext4Volume::Open(sync, {});
    if (!volume) {
      EXPECT_FALSE(volume.error().message.empty());
      continue;
    }
    ++opened;
    Reader(**volume).Run();
    const auto writable = Ext4Volume::Open(sync, {.access = Ext4Access::kReadWrite});
    if (!writable) continue;
    Change(**writable);
    (void)(*writable)->Close();
  }
  EXPECT_GT(opened, 0u);
}

TEST_P(HostileTest, ATruncatedFileSystemNeverDoesMoreThanFail) {
  MemoryLoop loop;
  for (const uint64_t size : {uint64_t{0}, uint64_t{1000}, uint64_t{1500}, uint64_t{2048},
                              uint64_t{100'000}, uint64_t{5'000'000}}) {
    const std::string cut = scratch_.Path("cut.img");
    Shell(fmt::format("head -c {} {} > {}", size, image_, cut));
    FileDevice device(cut);
    SyncDevice sync(loop, device);
    const auto volume = Ext4Volume::Open(sync, {});
    ASSERT_FALSE(volume) << size;
    EXPECT_EQ(volume.error().code, Errc::kCorrupt);
  }
}

// Bigalloc is larger; the forms of metadata are those of the others.
INSTANTIATE_TEST_SUITE_P(
    Forms, HostileTest,
    ::testing::Values(MkfsVariant{"Checksums", "-t ext4 -b 1024", 16 << 20},
                      MkfsVariant{"NoChecksums", "-t ext4 -b 1024 -O ^metadata_csum", 16 << 20},
                      MkfsVariant{"Ext3", "-t ext3 -b 1024", 16 << 20},
                      MkfsVariant{"Inline",
                                  "-t ext4 -b 4096 -O inline_data,ea_inode,^metadata_csum -I 512",
                                  16 << 20}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace mica::guest::testing
