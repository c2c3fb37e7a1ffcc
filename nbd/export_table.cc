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

Result<void> ExportTable::Add(Export added) {
  if (!FitsTheProtocol(added.name) || !FitsTheProtocol(added.description)) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("export {}: names and descriptions have at most {} bytes and no NUL",
                             Quoted(added.name), kStringBytesMax)};
  }
  if (by_name_.contains(added.name)) {
    return Error{Errc::kExists, fmt::format("there are two exports named {}", Quoted(added.name))};
  }
  entries_.push_back(std::make_unique<Entry>(std::move(added)));
  by_name_.emplace(entries_.back()->content.name, entries_.back().get());
  return {};
}

ExportTable::Entry* ExportTable::FindEntry(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found != by_name_.end()) return found->second;
  return name.empty() && entries_.size() == 1 ? entries_.front().get() : nullptr;
}

const Export* ExportTable::Find(std::string_view name) const {
  const Entry* const entry = FindEntry(name);
  return entry == nullptr ? nullptr : &entry->content;
}

Result<ExportLease> ExportTable::Acquire(std::string_view name) {
  Entry* const entry = FindEntry(name);
  if (entry == nullptr) return Error{Errc::kNotFound, "no such export"};
  if (entry->connections >= entry->content.connections_max) {
    return Error{Errc::kLimit, fmt::format("export {} has {} connections already",
                                           Quoted(entry->content.name), entry->connections)};
  }
  return ExportLease(entry->content, entry->connections);
}

}  // namespace mica::nbd
