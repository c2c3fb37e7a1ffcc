// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/diff_test_support.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "engine/base/checked_math.h"

namespace mica::guest::testing {
namespace {

constexpr size_t kBlockBytes = 4096;

std::string Describe(Timestamp time) {
  return fmt::format("{}.{:09}", time.seconds, time.nanoseconds);
}

std::string Describe(const Object& object) {
  std::string text = fmt::format(
      "ino={} gen={} born={} kind={} mode={:o} uid={} gid={} mtime={} flags={:x} size={} links={}",
      object.id.inode, object.id.generation, Describe(object.id.created),
      static_cast<int>(object.kind), object.attributes.mode, object.attributes.uid,
      object.attributes.gid, Describe(object.attributes.modified), object.attributes.flags,
      object.size, object.link_count);
  for (const auto& [name, value] : object.attributes.xattrs) {
    text += fmt::format(" {}:{}:{:x}", name, value.size(), std::hash<std::string>{}(value));
  }
  return text + " ->" + object.symlink_target;
}

std::string Describe(const std::vector<Name>& names) {
  std::string text;
  for (const Name& name : names) {
    text += fmt::format(" {}({}.{}/{})", name.path, name.parent, name.parent_generation, name.leaf);
  }
  return text;
}

}  // namespace

FileDevice::FileDevice(const std::string& path) : fd_(::open(path.c_str(), O_RDWR | O_CLOEXEC)) {
  struct stat status{};
  if (fd_ && ::fstat(fd_.get(), &status) == 0) info_.size = static_cast<uint64_t>(status.st_size);
}

Async<void> FileDevice::Read(uint64_t offset, Bytes buffer) {
  if (!FitsInside({offset, buffer.size()}, info_.size)) {
    co_return Error{Errc::kOutOfRange, "read beyond the end"};
  }
  const ssize_t got = ::pread(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
  if (got != static_cast<ssize_t>(buffer.size())) co_return ErrnoError(errno, "pread");
  co_return {};
}

Async<void> FileDevice::Write(uint64_t offset, ConstBytes buffer, Durability /*durability*/) {
  if (!FitsInside({offset, buffer.size()}, info_.size)) {
    co_return Error{Errc::kOutOfRange, "write beyond the end"};
  }
  const ssize_t put = ::pwrite(fd_.get(), buffer.data(), buffer.size(), static_cast<off_t>(offset));
  if (put != static_cast<ssize_t>(buffer.size())) co_return ErrnoError(errno, "pwrite");
  co_return {};
}

Async<void> FileDevice::WriteZeroes(ByteRange range, ZeroHint /*hint*/, Durability durability) {
  const std::vector<std::byte> zeroes(range.length);
  co_return co_await Write(range.offset, zeroes, durability);
}

Async<void> FileDevice::Discard(ByteRange /*range*/, Durability /*durability*/) {
  co_return {};
}
Async<void> FileDevice::Flush() {
  co_return {};
}

Async<std::vector<StatusExtent>> FileDevice::Status(ByteRange range, size_t /*extents_max*/) {
  std::vector<StatusExtent> extents;
  StatusExtent all;
  all.length = range.length;
  all.depth = 1;
  extents.push_back(all);
  co_return extents;
}

std::unique_ptr<OpenImage> OpenVolume(const std::string& path, Ext4Access access) {
  auto image = std::make_unique<OpenImage>();
  image->device = std::make_unique<FileDevice>(path);
  image->sync = std::make_unique<SyncDevice>(image->loop, *image->device);
  auto volume = Ext4Volume::Open(*image->sync, {.access = access});
  EXPECT_TRUE(volume) << path << ": " << (volume ? "" : volume.error().message);
  if (volume) image->volume = std::move(*volume);
  return image;
}

ScratchFolder::ScratchFolder() {
  // Images in memory where there is room: every unmounting waits for the disk otherwise.
  constexpr uint64_t kRoomBytes = uint64_t{1} << 30;
  std::error_code error;
  const std::filesystem::path memory = "/dev/shm";
  const auto space = std::filesystem::space(memory, error);
  const bool fits = !error && space.available != static_cast<uintmax_t>(-1) &&
                    space.available >= kRoomBytes && std::getenv("TMPDIR") == nullptr;
  const std::filesystem::path parent = fits ? memory : std::filesystem::temp_directory_path();
  std::string pattern = (parent / "mica-test-XXXXXX").string();
  path_ = ::mkdtemp(pattern.data());
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void Shell(const std::string& command) {
  std::FILE* pipe = ::popen(fmt::format("( {} ) 2>&1", command).c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  std::array<char, 4096> buffer{};
  while (const size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    output.append(buffer.data(), got);
  }
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << output;
}

void Debugfs(const std::string& image, const std::string& commands) {
  const std::string script = image + ".debugfs";
  std::ofstream(script) << commands << "\n";
  Shell(fmt::format("debugfs -w -f {} {}", script, image));
  std::filesystem::remove(script);
}

void CopyImage(const std::string& from, const std::string& to) {
  Shell(fmt::format("cp --sparse=always {} {}", from, to));
}

std::vector<ByteRange> DifferingBlocks(const std::string& a, const std::string& b) {
  std::ifstream one(a, std::ios::binary);
  std::ifstream two(b, std::ios::binary);
  std::array<char, kBlockBytes> left{};
  std::array<char, kBlockBytes> right{};
  std::vector<ByteRange> ranges;
  for (uint64_t offset = 0;
       one.read(left.data(), kBlockBytes) && two.read(right.data(), kBlockBytes);
       offset += kBlockBytes) {
    if (left != right) ranges.push_back({offset, kBlockBytes});
  }
  return ranges;
}

void WriteAt(const std::string& image, uint64_t offset, ConstBytes bytes) {
  const UniqueFd fd(::open(image.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  ASSERT_EQ(::pwrite(fd.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)),
            static_cast<ssize_t>(bytes.size()));
}

std::vector<std::string> Describe(const ChangeSet& changes) {
  std::vector<std::string> lines;
  for (const ChangedObject& object : changes.objects) {
    std::string line =
        fmt::format("{} => {}", Describe(object.names_before), Describe(object.names_after));
    if (object.content_changed) line += " CONTENT";
    if (object.attributes_changed) line += " ATTRIBUTES";
    for (const ByteRange& range : object.content_ranges) {
      line += fmt::format(" {}+{}", range.offset, range.length);
    }
    if (object.before) line += "\n    before " + Describe(*object.before);
    if (object.after) line += "\n    after  " + Describe(*object.after);
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace mica::guest::testing
