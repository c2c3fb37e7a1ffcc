// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/base/result.h"
#include "nbd/export.h"
#include "nbd/export_stats.h"
#include "nbd/turn_share.h"

namespace mica::nbd {

class ExportTable;

// An export and what the server keeps about it while it serves it.
struct ServedExport {
  explicit ServedExport(Export added) : content(std::move(added)) {}
  const Export content;
  // Written on the loop of the export's shard, read on any.
  std::atomic<uint32_t> connections = 0;
  ExportStats stats;
  // Only for the loop of the export's shard.
  uint64_t in_flight_bytes = 0;
  TurnShare share;
};

// One connection's hold on an export: counts towards Export::connections_max while it lives. Only
// on the loop of the export's shard.
class ExportLease {
 public:
  ExportLease() = default;
  ExportLease(ExportLease&& other) noexcept = default;
  ExportLease& operator=(ExportLease&& other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ExportLease(const ExportLease&) = delete;
  ExportLease& operator=(const ExportLease&) = delete;
  ~ExportLease() {
    if (held_ != nullptr) held_->connections.fetch_sub(1, std::memory_order_relaxed);
  }

  [[nodiscard]] explicit operator bool() const noexcept { return held_ != nullptr; }
  [[nodiscard]] const Export& operator*() const noexcept { return held_->content; }
  [[nodiscard]] const Export* operator->() const noexcept { return &held_->content; }
  [[nodiscard]] ServedExport* get() const noexcept { return held_.get(); }

 private:
  friend class ExportTable;
  explicit ExportLease(std::shared_ptr<ServedExport> held) : held_(std::move(held)) {
    held_->connections.fetch_add(1, std::memory_order_relaxed);
  }
  std::shared_ptr<ServedExport> held_;
};

// The exports of a server, in the order they were added. Any thread: negotiations on all loops look
// names up while exports come and go.
class ExportTable {
 public:
  // kExists for a name that is taken, kInvalidArgument for one the protocol cannot carry.
  Result<std::shared_ptr<ServedExport>> Add(Export added);

  // Nobody finds it any more; who has it keeps it. Null when there is none of that very name.
  std::shared_ptr<ServedExport> Remove(std::string_view name);

  // Whether the export of that very name is away for a moment: nobody finds it, and negotiations
  // that ask for it wait for it to come back, as long as a handshake may take. Who has it keeps it.
  // It need not be in the table meanwhile.
  void SetAway(std::string_view name, bool away);
  // Nothing is away any more: whoever waits goes on, and finds what there is.
  void ForgetAway();
  // Whether a client means such an export by `name`.
  [[nodiscard]] bool IsAway(std::string_view name) const;

  // The export a client means by `name`. The empty name means the default export: the one of that
  // name, otherwise the only one there is. Null when there is none. Its device may be used on the
  // loop of its shard only, and there only until the caller suspends: afterwards it may have been
  // removed, unless there is a lease.
  [[nodiscard]] std::shared_ptr<const Export> Find(std::string_view name) const;

  // As Find, and counts the caller as a connection. kNotFound; kLimit when the export has
  // connections_max already.
  Result<ExportLease> Acquire(std::string_view name);

  // All of them, as they are now.
  [[nodiscard]] std::vector<std::shared_ptr<ServedExport>> All() const;

 private:
  // With mutex_ held.
  [[nodiscard]] std::shared_ptr<ServedExport> FindServed(std::string_view name) const;

  mutable std::mutex mutex_;
  // Guarded by mutex_. The names live in the entries.
  std::vector<std::shared_ptr<ServedExport>> entries_;
  std::unordered_map<std::string_view, std::shared_ptr<ServedExport>> by_name_;
  std::set<std::string, std::less<>> away_;
};

}  // namespace mica::nbd
