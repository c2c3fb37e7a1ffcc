// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/base/result.h"
#include "nbd/export.h"

namespace mica::nbd {

class ExportTable;

// One connection's hold on an export: counts towards Export::connections_max while it lives.
class ExportLease {
 public:
  ExportLease() = default;
  ExportLease(ExportLease&& other) noexcept
      : export_(std::exchange(other.export_, nullptr)),
        connections_(std::exchange(other.connections_, nullptr)) {}
  ExportLease& operator=(ExportLease&& other) noexcept {
    std::swap(export_, other.export_);
    std::swap(connections_, other.connections_);
    return *this;
  }
  ExportLease(const ExportLease&) = delete;
  ExportLease& operator=(const ExportLease&) = delete;
  ~ExportLease() {
    if (connections_ != nullptr) --*connections_;
  }

  [[nodiscard]] explicit operator bool() const noexcept { return export_ != nullptr; }
  [[nodiscard]] const Export& operator*() const noexcept { return *export_; }
  [[nodiscard]] const Export* operator->() const noexcept { return export_; }

 private:
  friend class ExportTable;
  ExportLease(const Export& held, uint32_t& connections)
      : export_(&held), connections_(&connections) {
    ++connections;
  }
  const Export* export_ = nullptr;
  uint32_t* connections_ = nullptr;
};

// The exports of a server. Entries never move while they are in the table. Loop thread only.
class ExportTable {
 public:
  // kExists for a name that is taken, kInvalidArgument for one the protocol cannot carry.
  Result<void> Add(Export added);

  // The export a client means by `name`. The empty name means the default export: the one of that
  // name, otherwise the only one there is. Null when there is none.
  [[nodiscard]] const Export* Find(std::string_view name) const;

  // As Find, and counts the caller as a connection. kNotFound; kLimit when the export has
  // connections_max already.
  Result<ExportLease> Acquire(std::string_view name);

  // In the order they were added.
  [[nodiscard]] size_t size() const noexcept { return entries_.size(); }
  [[nodiscard]] const Export& operator[](size_t index) const { return entries_[index]->content; }

 private:
  struct Entry {
    explicit Entry(Export added) : content(std::move(added)) {}
    Export content;
    uint32_t connections = 0;
  };
  [[nodiscard]] Entry* FindEntry(std::string_view name) const;

  std::vector<std::unique_ptr<Entry>> entries_;
  std::unordered_map<std::string_view, Entry*> by_name_;  // the names live in the entries
};

}  // namespace mica::nbd
