// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "engine/base/unique_fd.h"
#include "tools/guest/child_process.h"
#include "tools/guest/ext4/metadata_copy.h"

namespace mica::guest {

namespace {

constexpr int kExitClean = 0;
constexpr int kExitErrorsLeft = 4;
constexpr int kExitFailed = 8;  // could not even start: the superblock is no good, for example

// So much of metadata is copied to memory, which is several times faster than any file system.
constexpr uint64_t kMemoryBytesMax = uint64_t{256} << 20;

Result<UniqueFd> OpenScratch(const std::string& folder, uint64_t bytes) {
  if (bytes <= kMemoryBytesMax) {
    UniqueFd memory(::memfd_create("mica-check", MFD_CLOEXEC));
    if (memory) return memory;
  }
  std::error_code failed;
  std::string where =
      folder.empty() ? std::filesystem::temp_directory_path(failed).string() : folder;
  if (where.empty()) where = "/tmp";
  UniqueFd fd(::open(where.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fd) return fd;
  // Not every file system can make files without a name.
  std::string name = where + "/mica-check-XXXXXX";
  fd = UniqueFd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) return ErrnoError(errno, fmt::format("making a temporary file in {}", where));
  ::unlink(name.c_str());
  return fd;
}

std::string WithoutPath(std::string text, std::string_view path) {
  for (size_t at = text.find(path); at != std::string::npos; at = text.find(path, at)) {
    text.replace(at, path.size(), "volume");
  }
  return text;
}

}  // namespace

Result<CheckReport> CheckExt4(SyncDevice& device, const CheckOptions& options) {
  CheckReport report;
  Ext4Options opened;
  opened.dirty_journal = DirtyJournal::kIgnore;
  Result<std::unique_ptr<Ext4Volume>> volume = Ext4Volume::Open(device, opened);
  if (!volume) {
    if (volume.error().code != Errc::kCorrupt) return std::move(volume).error();
    report.text = volume.error().message;
    return report;
  }
  ASSIGN(const std::vector<ByteRange> metadata, FindMetadata(device, **volume));
  for (const ByteRange& range : metadata) report.bytes_copied += range.length;
  ASSIGN(const UniqueFd scratch, OpenScratch(options.scratch_folder, report.bytes_copied));
  const ext2_filsys fs = (*volume)->fs();
  const uint64_t size = ext2fs_blocks_count(fs->super) * fs->blocksize;
  if (::ftruncate(scratch.get(), static_cast<off_t>(size)) != 0) {
    return ErrnoError(errno, "making the copy for the file system check");
  }
  TRY(CopyRanges(device, metadata, scratch.get()));
  const std::string path = fmt::format("/proc/self/fd/{}", ChildRequest::kChildFd);
  ChildRequest request;
  request.arguments = {"e2fsck", "-f", "-n", path};
  request.inherited_fd = scratch.get();
  request.timeout = options.timeout;
  ASSIGN(ChildResult result, RunChild(request));
  report.clean = result.exit_status == kExitClean;
  report.text = WithoutPath(std::move(result.output), path);
  if (report.clean || (result.exit_status & (kExitErrorsLeft | kExitFailed)) != 0) return report;
  return Error{Errc::kIo,
               fmt::format("e2fsck ended with status {}: {}", result.exit_status, report.text)};
}

}  // namespace mica::guest
