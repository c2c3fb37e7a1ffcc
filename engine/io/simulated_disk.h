// SPDX-License-Identifier: Apache-2.0
// SimulatedDisk: the files and names behind MemoryHost, with the difference between what a reader
// sees and what the platter holds. It is plain synchronous code: tests also use it directly to look
// at a file, to damage one, and to cut the power.
#pragma once

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.h"
#include "engine/io/paged_content.h"
#include "engine/io/power_cut.h"

namespace mica {

// Host space, shared by the files of one disk.
struct SpaceMeter {
  uint64_t used_pages = 0;
  uint64_t limit_pages = std::numeric_limits<uint64_t>::max();

  [[nodiscard]] uint64_t free_pages() const noexcept {
    return limit_pages > used_pages ? limit_pages - used_pages : 0;
  }
};

// One file, named or not. Every change is visible to readers at once, and durable once a successful
// sync that began after the change had completed.
class SimulatedFile {
 public:
  explicit SimulatedFile(std::shared_ptr<SpaceMeter> meter) : meter_(std::move(meter)) {}
  SimulatedFile(std::shared_ptr<SpaceMeter> meter, PagedContent content);
  SimulatedFile(const SimulatedFile&) = delete;
  SimulatedFile& operator=(const SimulatedFile&) = delete;
  ~SimulatedFile();

  [[nodiscard]] const PagedContent& content() const noexcept { return content_; }

  // Each change returns how many bytes of it were done; less than asked for means no space. It
  // stays in flight, and no sync covers it, until Complete.
  struct Change {
    uint64_t id;
    uint64_t done_bytes;
  };
  Change Write(uint64_t offset, ConstBytes buffer);
  Change Zero(ByteRange range);  // grows the file when needed
  Change Punch(ByteRange range);
  Change Reserve(ByteRange range);
  Change Resize(uint64_t size);
  void Complete(uint64_t change_id) noexcept;

  // A sync is two moments: what had completed at the first is durable from the second on.
  [[nodiscard]] uint64_t BeginSync() noexcept { return ++tick_; }
  void FinishSync(uint64_t begun);
  // The host's write-back failed: each covered sector arrived or is lost for good, and later syncs
  // do not try again, just as with a page cache that marks failed pages clean.
  void FailSync(uint64_t begun, uint64_t seed);
  [[nodiscard]] uint64_t failed_syncs() const noexcept { return failed_syncs_; }

  [[nodiscard]] PagedContent AfterPowerCut(const PowerCutPolicy& policy, uint64_t salt) const;
  // Overwrites bytes behind everybody's back, on the platter too. For tests that damage files.
  void Damage(uint64_t offset, ConstBytes bytes);

  // Locks and the time of the last change belong to the file; MemoryHost keeps them.
  uint32_t shared_locks = 0;
  bool exclusive_lock = false;
  int64_t modified_ns = 0;

 private:
  enum class ChangeKind : uint8_t { kData, kZero, kPunch, kReserve, kResize };
  struct LoggedChange {
    uint64_t id;
    ChangeKind kind;
    ByteRange range;              // kResize: from the smaller to the larger size
    std::vector<std::byte> data;  // kData only
    uint64_t size_after;
    uint64_t completed_at = 0;  // tick; 0 = in flight
  };

  Change Log(ChangeKind kind, ByteRange range, ConstBytes data, uint64_t done_bytes);
  [[nodiscard]] uint64_t Fits(ByteRange range) const noexcept;
  static PagedContent Replay(PagedContent content, const std::vector<const LoggedChange*>& changes,
                             const PowerCutPolicy& policy, uint64_t salt);
  static void ReplayData(PagedContent& content, const LoggedChange& change, uint64_t position,
                         const PowerCutFate& fate);
  void RemoveCovered(uint64_t begun);

  std::shared_ptr<SpaceMeter> meter_;
  PagedContent content_;  // what readers see
  PagedContent durable_;  // what the platter holds for sure
  std::deque<LoggedChange> unsynced_;
  uint64_t next_id_ = 1;
  uint64_t tick_ = 1;
  uint64_t failed_syncs_ = 0;
};

// Files under names. Directories exist without being made. Names change at once for everybody and
// are durable once their directory is synced.
class SimulatedDisk {
 public:
  SimulatedDisk() : meter_(std::make_shared<SpaceMeter>()) {}

  // Bytes of host space for all files together, in whole pages of 4 KiB.
  void SetSpaceLimit(uint64_t bytes) noexcept {
    meter_->limit_pages = bytes / PagedContent::kPageBytes;
  }
  [[nodiscard]] uint64_t used_bytes() const noexcept {
    return meter_->used_pages * PagedContent::kPageBytes;
  }

  [[nodiscard]] uint64_t free_bytes() const noexcept {
    constexpr uint64_t kPagesMax = uint64_t{1} << 40;  // what there is without a limit
    return std::min(meter_->free_pages(), kPagesMax) * PagedContent::kPageBytes;
  }

  // nullptr when there is none.
  [[nodiscard]] std::shared_ptr<SimulatedFile> Find(const std::string& name) const;
  [[nodiscard]] bool IsDirectory(const std::string& name) const;
  [[nodiscard]] std::vector<std::string> names() const;

  // The caller has checked that the name is free, and that `from` exists.
  std::shared_ptr<SimulatedFile> Create(const std::string& name);
  void Rename(const std::string& from, const std::string& to);
  void Link(const std::string& existing, const std::string& name);
  void Remove(const std::string& name);
  void SyncDirectory(const std::string& directory);

  // A disk that holds what this one could hold after a power cut now. This one is not disturbed.
  [[nodiscard]] SimulatedDisk AfterPowerCut(const PowerCutPolicy& policy) const;

 private:
  using Names = std::map<std::string, std::shared_ptr<SimulatedFile>>;
  struct NameChange {
    std::string removed;  // empty: none
    std::string added;    // empty: none
    std::shared_ptr<SimulatedFile> file;
  };

  static void Apply(const NameChange& change, Names& names);
  [[nodiscard]] Names NamesAfterPowerCut(const PowerCutPolicy& policy) const;

  std::shared_ptr<SpaceMeter> meter_;
  Names names_;
  Names durable_names_;
  std::vector<NameChange> unsynced_;
};

// How names are spelled on the disk: normalised, without a trailing slash; "" is the current
// directory.
std::string DiskName(const std::string& path);

}  // namespace mica
