// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "nbd/server.h"
#include "tools/serve/export_keeper.h"

namespace mica {

// The state of a server in the text format of Prometheus: requests, errors, bytes and latencies of
// every export by command, connections and memory. On the server's own loop.
std::string MetricsText(const nbd::Server& server, const ExportKeeper& keeper);

}  // namespace mica
