// SPDX-License-Identifier: Apache-2.0
// For tests: ext4 images in files, made by mke2fs and changed by debugfs, by the kernel or by hand.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/async/memory_loop.h"
#include "engine/base/unique_fd.h"
#include "engine/block_device.h"
#include "tools/guest/change_set.h"
#include "tools/guest/ext4/volume.h"

namespace mica::guest::testing {

// A file as a block device; answers at once.
class FileDevice final : public BlockDevice {
 public:
  explicit FileDevice(const std::string& path);

  [[nodiscard]] const DeviceInfo& info() const noexcept override { return info_; }
  Async<void> Read(uint64_t offset, Bytes buffer) override;
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override;
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override;
  Async<void> Discard(ByteRange range, Durability durability) override;
  Async<void> Flush() override;
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override;

 private:
  UniqueFd fd_;
  DeviceInfo info_;
};

// An image opened as a volume, with what it stands on.
struct OpenImage {
  MemoryLoop loop;
  std::unique_ptr<FileDevice> device;
  std::unique_ptr<SyncDevice> sync;
  std::unique_ptr<Ext4Volume> volume;
};

// Fails the test and returns an image without a volume when it cannot be opened.
std::unique_ptr<OpenImage> OpenVolume(const std::string& path,
                                      Ext4Access access = Ext4Access::kReadOnly);

// A folder that is gone with the object.
class ScratchFolder {
 public:
  ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();
  [[nodiscard]] std::string Path(const std::string& leaf) const { return (path_ / leaf).string(); }

 private:
  std::filesystem::path path_;
};

// Runs a shell command; fails the test with its output unless it exits with 0.
void Shell(const std::string& command);
// Runs commands in debugfs -w on the image, one per line.
void Debugfs(const std::string& image, const std::string& commands);
void CopyImage(const std::string& from, const std::string& to);  // keeps holes
// 4 KiB blocks in which the two images differ.
std::vector<ByteRange> DifferingBlocks(const std::string& a, const std::string& b);
void WriteAt(const std::string& image, uint64_t offset, ConstBytes bytes);

// One line per object, everything in it, for comparing and for reading.
std::vector<std::string> Describe(const ChangeSet& changes);

}  // namespace mica::guest::testing
