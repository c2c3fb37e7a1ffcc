// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/space_watch.h"

#include <fmt/format.h>

#include <set>

#include "engine/space_control.h"
#include "tools/cli/output_text.h"

namespace mica {

namespace {

constexpr std::chrono::seconds kPeriod{5};

std::string TextOf(const std::string& name, const SpaceEvent& event) {
  const std::string limit = FormatBytes(event.limit_bytes);
  switch (event.kind) {
    case SpaceEvent::Kind::kQuotaMark:
      return fmt::format("{}: {} % of its quota of {} are used", name, event.percent, limit);
    case SpaceEvent::Kind::kSoftQuota:
      return fmt::format("{}: its soft quota of {} is passed", name, limit);
    case SpaceEvent::Kind::kNoSpace:
      break;
  }
  if (event.limit_bytes == 0) {
    return fmt::format("{}: a write was refused, the host has no space", name);
  }
  return fmt::format("{}: a write was refused, its quota of {} is used up", name, limit);
}

}  // namespace

void WatchQuota(const ServedImage& image, nbd::EventLog& log) {
  Layer& head = image.chain->layer(0);
  SpaceControl* const space = head.controls().space;
  if (space == nullptr || !head.info().writable) return;
  space->OnEvent([name = image.name, &log](const SpaceEvent& event) {
    log.Write(nbd::Severity::kWarning, TextOf(name, event));
  });
}

HostSpaceWatch::HostSpaceWatch(Host& host, const ExportKeeper& keeper, nbd::EventLog& log)
    : host_(host), keeper_(keeper), log_(log) {
  Look();
}

void HostSpaceWatch::Look() {
  std::set<uint64_t> seen;
  for (const auto& [name, entry] : keeper_.entries()) {
    if (!entry->ready || entry->info.read_only) continue;
    const Result<HostSpace> space = host_.Space(entry->config.file);
    if (!space || !seen.insert(space->file_system).second) continue;
    const uint64_t used = space->total_bytes - space->available_bytes;
    const auto mark = file_systems_[space->file_system].Update(used, space->total_bytes);
    if (!mark) continue;
    log_.Write(nbd::Severity::kWarning,
               fmt::format("{}: {} % of its file system's {} are used, {} are left", name, *mark,
                           FormatBytes(space->total_bytes), FormatBytes(space->available_bytes)));
  }
  timer_.reset();
  timer_.emplace(host_.loop(), host_.loop().Now() + kPeriod, [this] { Look(); });
}

}  // namespace mica
