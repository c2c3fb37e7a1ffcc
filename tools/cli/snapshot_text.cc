// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/snapshot_text.h"

#include <fmt/core.h>

#include "tools/cli/output_text.h"

namespace mica {

std::string SnapshotLines(std::span<const SnapshotInfo> snapshots) {
  constexpr const char* kLine = "{:<6}{:<24}{:>12}  {:<21}{}\n";
  std::string text = fmt::format(kLine, "ID", "NAME", "SIZE", "DATE (UTC)", "EPOCH");
  for (const SnapshotInfo& snapshot : snapshots) {
    text += fmt::format(kLine, snapshot.id, snapshot.name, FormatBytes(snapshot.virtual_size),
                        FormatTime(snapshot.created), snapshot.epoch);
  }
  return text;
}

}  // namespace mica
