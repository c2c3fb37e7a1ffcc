// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/writer_test_support.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include "engine/base/prng.h"

namespace mica::guest::testing {

void PrintTo(const MkfsVariant& variant, std::ostream* out) {
  *out << variant.name;
}

const std::vector<MkfsVariant>& AllVariants() {
  static const std::vector<MkfsVariant> variants = {
      // Without -b, mke2fs gives small file systems blocks of 1 KiB.
      {"Default", "-t ext4 -b 4096"},
      {"OneKiB", "-t ext4 -b 1024"},
      {"NoMetadataCsum", "-t ext4 -b 4096 -O ^metadata_csum,uninit_bg"},
      {"Ext3", "-t ext3 -b 4096"},
      {"Ext3OneKiB", "-t ext3 -b 1024"},
      {"Ext2", "-t ext2 -b 4096"},
      {"OldInodes", "-t ext4 -b 1024 -I 128"},
      {"InlineDataEaInode", "-t ext4 -b 4096 -O inline_data,ea_inode -I 512"},
      {"OrphanFile", "-t ext4 -b 4096 -O orphan_file,metadata_csum_seed"},
      {"Bigalloc", "-t ext4 -b 4096 -O bigalloc -C 65536", 256 << 20},
      {"LargeDir", "-t ext4 -b 1024 -O large_dir"},
      {"NoJournalNo64Bit", "-t ext4 -b 4096 -O ^has_journal,^64bit"},
  };
  return variants;
}

std::string OutputOf(const std::string& command) {
  std::string output;
  std::FILE* pipe = ::popen(fmt::format("( {} ) 2>&1", command).c_str(), "r");
  if (pipe == nullptr) return output;
  std::array<char, 4096> buffer{};
  while (const size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    output.append(buffer.data(), got);
  }
  ::pclose(pipe);
  return output;
}

void MakeFs(const std::string& image, const MkfsVariant& variant, const std::string& source) {
  // Through a descriptor: some kernels fail on truncate(2) by path.
  const UniqueFd file(::open(image.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(variant.size_bytes)), 0);
  Shell(fmt::format(
      "mke2fs -q -F {} -E lazy_itable_init=0,lazy_journal_init=0,hash_seed=6d696361-6d69-6361-6d69-"
      "636100000000 {} {}",
      variant.options, source.empty() ? "" : "-d " + source, image));
}

void ExpectClean(const std::string& image) {
  Shell("e2fsck -fn " + image);
}

WriteSession::WriteSession(const std::string& image)
    : path_(image), image_(OpenVolume(image, Ext4Access::kReadWrite)) {
  if (image_->volume)
    writer_ = std::make_unique<Ext4Writer>(*image_->volume, Ext4WriterOptions{kTestNow, 7});
}

void WriteSession::Finish() {
  writer_.reset();
  const Result<void> closed = image_->volume->Close();
  EXPECT_TRUE(closed) << (closed ? "" : closed.error().message);
  image_.reset();
  ExpectClean(path_);
}

NewObject MakeNew(ObjectKind kind, uint32_t mode) {
  NewObject object;
  object.kind = kind;
  object.attributes.mode = mode;
  object.attributes.modified = {1'700'000'000, 5};
  return object;
}

uint64_t WriteFile(Ext4Writer& writer, const Place& at, std::string_view content) {
  const Result<uint64_t> inode = writer.Create(at, MakeNew(ObjectKind::kRegular));
  EXPECT_TRUE(inode) << (inode ? "" : inode.error().message);
  if (!inode) return 0;
  Result<FileWriter> file = writer.OpenFile(*inode);
  EXPECT_TRUE(file) << (file ? "" : file.error().message);
  if (!file) return 0;
  const Result<void> written = file->Write(0, AsBytes(content));
  EXPECT_TRUE(written) << (written ? "" : written.error().message);
  const Result<void> finished = file->Finish();
  EXPECT_TRUE(finished) << (finished ? "" : finished.error().message);
  return *inode;
}

std::string Pattern(uint64_t seed, size_t size) {
  Prng prng(seed);
  std::string text(size, '\0');
  for (char& byte : text) byte = static_cast<char>(prng.Next());
  return text;
}

}  // namespace mica::guest::testing
