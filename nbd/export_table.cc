// SPDX-License-Identifier: Apache-2.0
#include "nbd/export_table.h"

#include <fmt/format.h>

#include "nbd/event_log.h"

namespace mica::nbd {

namespace {

bool FitsTheProtocol(std::string_view text) {
  return text.size() <= kStringBytesMax && text.find('\0') == std::string_view::npos;
}

}  // namespace

Result<std::shared_ptr<ServedExport>> ExportTable::Add(Export added) {
  if (!FitsTheProtocol(added.name) || !FitsTheProtocol(added.description)) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("export {}: names and descriptions have at most {} bytes and no NUL",
                             Quoted(added.name), kStringBytesMax)};
  }
  const std::lock_guard lock(mutex_);
  if (by_name_.contains(added.name)) {
    return Error{Errc::kExists, fmt::format("there are two exports named {}", Quoted(added.name))};
  }
  entries_.push_back(std::make_shared<ServedExport>(std::move(added)));
  by_name_.emplace(entries_.back()->content.name, entries_.back());
  return entries_.back();
}

std::shared_ptr<ServedExport> ExportTable::Remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return nullptr;
  std::shared_ptr<ServedExport> removed = found->second;
  by_name_.erase(found);
  std::erase(entries_, removed);
  return removed;
}

void ExportTable::SetAway(std::string_view name, bool away) {
  const std::lock_guard lock(mutex_);
  if (away) {
    away_.emplace(name);
  } else if (const auto found = away_.find(name); found != away_.end()) {
    away_.erase(found);
  }
}

void ExportTable::ForgetAway() {
  const std::lock_guard lock(mutex_);
  away_.clear();
}

bool ExportTable::IsAway(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  if (away_.contains(name)) return true;
  // The default export is the only one there is.
  if (!name.empty() || away_.size() != 1 || by_name_.contains(name)) return false;
  return entries_.empty() || (entries_.size() == 1 && by_name_.contains(*away_.begin()));
}

std::shared_ptr<ServedExport> ExportTable::FindServed(std::string_view name) const {
  const auto found = by_name_.find(name);
  std::shared_ptr<ServedExport> served;
  if (found != by_name_.end()) {
    served = found->second;
  } else if (name.empty() && entries_.size() == 1) {
    served = entries_.front();
  }
  return served == nullptr || away_.contains(served->content.name) ? nullptr : served;
}

std::shared_ptr<const Export> ExportTable::Find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  std::shared_ptr<ServedExport> served = FindServed(name);
  if (served == nullptr) return nullptr;
  const Export* const content = &served->content;
  return {std::move(served), content};
}

Result<ExportLease> ExportTable::Acquire(std::string_view name) {
  const std::lock_guard lock(mutex_);  // until it is counted
  std::shared_ptr<ServedExport> served = FindServed(name);
  if (served == nullptr) return Error{Errc::kNotFound, "no such export"};
  const uint32_t connections = served->connections.load(std::memory_order_relaxed);
  if (connections >= served->content.connections_max) {
    return Error{Errc::kLimit, fmt::format("export {} has {} connections already",
                                           Quoted(served->content.name), connections)};
  }
  return ExportLease(std::move(served));
}

std::vector<std::shared_ptr<ServedExport>> ExportTable::All() const {
  const std::lock_guard lock(mutex_);
  return entries_;
}

}  // namespace mica::nbd
