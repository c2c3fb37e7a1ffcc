// SPDX-License-Identifier: Apache-2.0
// ExportKeeper: the images of a running server. Opens and closes each on a loop of its own choice
// and tells the server, while other exports go on.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/snapshot_control.h"
#include "nbd/server.h"
#include "tools/cli/served_image.h"
#include "tools/serve/serve_config.h"
#include "tools/serve/serve_loops.h"

namespace mica {

// On the server's own loop. Changes to one export exclude each other: kBusy.
class ExportKeeper {
 public:
  // The server has a shard for each of the loops, by the same numbers.
  ExportKeeper(ServeLoops& loops, nbd::Server& server, nbd::EventLog& log)
      : loops_(loops), server_(server), log_(log) {}
  ExportKeeper(const ExportKeeper&) = delete;
  ExportKeeper& operator=(const ExportKeeper&) = delete;
  // After CloseAll.
  ~ExportKeeper();

  // Opens the image on the loop that has the fewest and exports it. kExists for a name in use.
  Async<void> Add(ExportConfig config);

  // Hides the export from new clients, gives those it has `grace` to leave on their own, then ends
  // their connections as a stop does, and closes the image. kNotFound. The export is gone even when
  // its image could not be closed cleanly, which is an error.
  Async<void> Remove(std::string name, std::chrono::nanoseconds grace);

  // For requests from now on. kNotFound.
  Async<void> SetLimits(std::string name, ThrottleLimits limits);

  // Keeps the state of the disk under this name in its image, while it is used. Errors as
  // SnapshotControl::Create; kUnsupported when the image's format cannot.
  Async<SnapshotInfo> Snapshot(std::string name, std::string snapshot);

  // Forgets such a state. Errors as SnapshotControl::Delete; kUnsupported.
  Async<void> DeleteSnapshot(std::string name, std::string snapshot);

  // Closes the image of an export that has no clients, so that another process can have it, and
  // lets new clients wait (ExportTable::SetAway) until Release. kBusy when it has clients.
  Async<void> Hold(std::string name);
  // Opens what has the name of the image's file now. The export is gone when that fails.
  Async<void> Release(std::string name);

  // The server has ended. Closes all; every failure has been printed, the first is returned.
  Async<void> CloseAll();

  struct Entry {
    ExportConfig config;
    size_t shard = 0;
    bool ready = false;  // being opened or taken away otherwise
    bool busy = false;   // something is being done to it that it survives
    bool held = false;   // between Hold and Release; not ready then
    DeviceInfo info;     // of a ready one
    std::shared_ptr<nbd::ServedExport> served;
    std::vector<std::shared_ptr<const LayerReads>> layers;  // by depth
    ServedImage image;                                      // its loop's
  };
  // By name.
  using Entries = std::map<std::string, std::unique_ptr<Entry>, std::less<>>;
  [[nodiscard]] const Entries& entries() const noexcept { return entries_; }

 private:
  [[nodiscard]] size_t LeastUsedShard() const;
  Result<Entry*> Ready(std::string_view name);
  Result<void> Export(Entry& entry);
  Async<void> Close(Entry& entry);

  ServeLoops& loops_;
  nbd::Server& server_;
  nbd::EventLog& log_;
  Entries entries_;
};

}  // namespace mica
