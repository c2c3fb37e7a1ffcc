// SPDX-License-Identifier: Apache-2.0
// Watching the space that served images take: what passes a mark is a warning in the server's log.
#pragma once

#include <map>
#include <optional>

#include "engine/async/event_loop.h"
#include "engine/io/host.h"
#include "engine/watermarks.h"
#include "nbd/event_log.h"
#include "tools/serve/export_keeper.h"

namespace mica {

// Of its quota, and writes that are refused. On the image's loop; the log outlives the image.
void WatchQuota(const ServedImage& image, nbd::EventLog& log);

// Looks at the file systems of all writable exports every few seconds. On the server's own loop,
// while the server runs; everything outlives it.
class HostSpaceWatch {
 public:
  HostSpaceWatch(Host& host, const ExportKeeper& keeper, nbd::EventLog& log);
  HostSpaceWatch(const HostSpaceWatch&) = delete;
  HostSpaceWatch& operator=(const HostSpaceWatch&) = delete;

 private:
  void Look();

  Host& host_;
  const ExportKeeper& keeper_;
  nbd::EventLog& log_;
  std::map<uint64_t, Watermarks> file_systems_;
  std::optional<Timer> timer_;
};

}  // namespace mica
