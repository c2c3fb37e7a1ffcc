// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/export_keeper.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/async/call_on.h"
#include "engine/async/when_all.h"
#include "tools/serve/space_watch.h"

namespace mica {

namespace {

Async<void> OpenInto(ServeLoops& loops, ExportKeeper::Entry& entry, nbd::EventLog& log) {
  ServeAccess access;
  access.parents = &loops.parents(entry.shard);
  access.read_only = entry.config.read_only;
  access.format = entry.config.format;
  access.limits = entry.config.limits;
  ExportWord word{entry.config.name, entry.config.file};
  CO_ASSIGN(entry.image,
            co_await OpenServedImage(loops.host(entry.shard), std::move(word), std::move(access)));
  WatchQuota(entry.image, log);
  entry.layers = entry.image.chain->LayersRead();
  co_return Result<void>();
}

Async<void> ChangeLimits(ThrottleDevice& device, ThrottleLimits limits) {
  device.SetLimits(limits);
  co_return Result<void>();
}

Async<SnapshotInfo> TakeSnapshot(ServedImage& image, std::string snapshot) {
  SnapshotControl* const control = image.chain->layer(0).controls().snapshots;
  if (control == nullptr) {
    co_return Error{Errc::kUnsupported,
                    fmt::format("{}: this format keeps no snapshots", image.path)};
  }
  Result<SnapshotInfo> taken = co_await control->Create(std::move(snapshot));
  if (taken) CO_TRY(co_await image.bitmaps->Refresh());
  co_return taken;
}

Async<void> ForgetSnapshot(ServedImage& image, std::string snapshot) {
  SnapshotControl* const control = image.chain->layer(0).controls().snapshots;
  if (control == nullptr) {
    co_return Error{Errc::kUnsupported,
                    fmt::format("{}: this format keeps no snapshots", image.path)};
  }
  CO_TRY(co_await control->Delete(std::move(snapshot)));
  co_return co_await image.bitmaps->Refresh();
}

}  // namespace

ExportKeeper::~ExportKeeper() {
  MICA_CHECK(entries_.empty());
}

size_t ExportKeeper::LeastUsedShard() const {
  std::vector<size_t> used(loops_.size());
  for (const auto& [name, entry] : entries_) ++used[entry->shard];
  return static_cast<size_t>(std::ranges::min_element(used) - used.begin());
}

Async<void> ExportKeeper::Add(ExportConfig config) {
  if (entries_.contains(config.name)) {
    co_return Error{Errc::kExists,
                    fmt::format("{}: expected a new export name, found '{}' a second time; try "
                                "another with NAME={}",
                                config.file, config.name, config.file)};
  }
  const std::string name = config.name;
  Entry& entry = *entries_.emplace(name, std::make_unique<Entry>()).first->second;
  entry.config = std::move(config);
  entry.shard = LeastUsedShard();
  EventLoop& home = loops_.loop(entry.shard);
  const std::function<Async<void>()> open = [&] { return OpenInto(loops_, entry, log_); };
  Result<void> done = co_await CallOn(server_.loop(), home, open);
  if (!done) {
    entries_.erase(name);
    co_return done;
  }
  done = Export(entry);
  if (!done) {
    (void)co_await Close(entry);
    entries_.erase(name);
  }
  co_return done;
}

Result<void> ExportKeeper::Export(Entry& entry) {
  entry.info = entry.image.throttle->info();
  nbd::Export added(entry.config.name, *entry.image.throttle);
  added.description =
      entry.config.description.empty() ? entry.config.file : entry.config.description;
  added.listing = entry.config.hidden ? nbd::NameListing::kHidden : nbd::NameListing::kShown;
  added.connections_max = entry.config.connections_max;
  added.shard = entry.shard;
  added.clients = entry.config.clients;
  added.bitmaps = entry.image.bitmaps.get();
  ASSIGN(entry.served, server_.exports().Add(std::move(added)));
  entry.ready = true;
  return {};
}

Result<ExportKeeper::Entry*> ExportKeeper::Ready(std::string_view name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    return Error{Errc::kNotFound, fmt::format("there is no export '{}'", name)};
  }
  if (!found->second->ready || found->second->busy) {
    return Error{
        Errc::kBusy,
        fmt::format("export '{}' is being opened, changed or taken away; try again later", name)};
  }
  return found->second.get();
}

Async<void> ExportKeeper::Remove(std::string name, std::chrono::nanoseconds grace) {
  CO_ASSIGN(Entry* const entry, Ready(name));
  entry->ready = false;
  (void)co_await server_.Remove(name, grace);
  Result<void> closed = co_await Close(*entry);
  entries_.erase(name);
  co_return closed;
}

Async<void> ExportKeeper::SetLimits(std::string name, ThrottleLimits limits) {
  CO_ASSIGN(Entry* const entry, Ready(name));
  entry->config.limits = limits;
  ThrottleDevice& device = *entry->image.throttle;
  const std::function<Async<void>()> change = [&] { return ChangeLimits(device, limits); };
  entry->busy = true;
  Result<void> changed = co_await CallOn(server_.loop(), loops_.loop(entry->shard), change);
  entry->busy = false;
  co_return changed;
}

Async<SnapshotInfo> ExportKeeper::Snapshot(std::string name, std::string snapshot) {
  CO_ASSIGN(Entry* const entry, Ready(name));
  const std::function<Async<SnapshotInfo>()> take = [&] {
    return TakeSnapshot(entry->image, snapshot);
  };
  entry->busy = true;
  Result<SnapshotInfo> taken = co_await CallOn(server_.loop(), loops_.loop(entry->shard), take);
  entry->busy = false;
  co_return taken;
}

Async<void> ExportKeeper::DeleteSnapshot(std::string name, std::string snapshot) {
  CO_ASSIGN(Entry* const entry, Ready(name));
  const std::function<Async<void>()> forget = [&] {
    return ForgetSnapshot(entry->image, snapshot);
  };
  entry->busy = true;
  Result<void> deleted = co_await CallOn(server_.loop(), loops_.loop(entry->shard), forget);
  entry->busy = false;
  co_return deleted;
}

Async<void> ExportKeeper::Hold(std::string name) {
  CO_ASSIGN(Entry* const entry, Ready(name));
  // First nobody gets in any more, then it is seen who is in.
  server_.exports().SetAway(name, true);
  const uint32_t clients = entry->served->connections.load();
  if (clients != 0) {
    server_.exports().SetAway(name, false);
    co_return Error{Errc::kBusy, fmt::format("export '{}' has {} clients: the VM is running; shut "
                                             "it down, or wait for it with --wait",
                                             name, clients)};
  }
  entry->ready = false;
  entry->held = true;
  (void)co_await server_.Remove(name, std::chrono::seconds(0));
  Result<void> closed = co_await Close(*entry);
  if (closed) co_return closed;
  entries_.erase(name);
  server_.exports().SetAway(name, false);
  co_return closed;
}

Async<void> ExportKeeper::Release(std::string name) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || !found->second->held) {
    co_return Error{Errc::kNotFound, fmt::format("export '{}' is not held", name)};
  }
  Entry& entry = *found->second;
  EventLoop& home = loops_.loop(entry.shard);
  const std::function<Async<void>()> open = [&] { return OpenInto(loops_, entry, log_); };
  Result<void> opened = co_await CallOn(server_.loop(), home, open);
  if (opened) opened = Export(entry);
  entry.held = false;
  if (!opened) entries_.erase(name);
  server_.exports().SetAway(name, false);
  co_return opened;
}

Async<void> ExportKeeper::Close(Entry& entry) {
  const std::function<Async<void>()> close = [&] { return CloseServedImage(entry.image); };
  co_return co_await CallOn(server_.loop(), loops_.loop(entry.shard), close);
}

Async<void> ExportKeeper::CloseAll() {
  std::vector<Async<void>> closing;
  for (const auto& [name, entry] : entries_) {
    if (entry->ready) closing.push_back(Close(*entry));
  }
  Result<void> closed = co_await WhenAll(server_.loop(), std::move(closing));
  std::erase_if(entries_,
                [](const auto& named) { return named.second->ready || named.second->held; });
  co_return closed;
}

}  // namespace mica
