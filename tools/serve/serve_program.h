// SPDX-License-Identifier: Apache-2.0
// ServeProgram: one run of `mica serve`, from its sockets to its end.
#pragma once

#include <memory>
#include <optional>

#include "nbd/server.h"
#include "tools/cli/pid_file.h"
#include "tools/cli/stop_signal.h"
#include "tools/cli/verb.h"
#include "tools/serve/control.h"
#include "tools/serve/export_keeper.h"
#include "tools/serve/hand_over.h"
#include "tools/serve/inherited_sockets.h"
#include "tools/serve/metrics_outlets.h"
#include "tools/serve/serve_log.h"
#include "tools/serve/serve_loops.h"
#include "tools/serve/small_server.h"
#include "tools/serve/space_watch.h"
#include "tools/serve/stdio_connection.h"

namespace mica {

struct ServeRequest {
  ServeConfig config;
  std::optional<std::string> config_file;  // where `config` came from, for a reload
  std::optional<std::string> pid_file;
  std::optional<std::string> upgrade;  // control socket of a server to take everything over from
  nbd::Severity log_from = nbd::Severity::kInfo;
};

class ServeProgram {
 public:
  ServeProgram(Context& context, ServeRequest request);
  ServeProgram(const ServeProgram&) = delete;
  ServeProgram& operator=(const ServeProgram&) = delete;
  ~ServeProgram();

  // Serves until a signal comes and everything in flight has been answered. kDone, or kError when
  // an image could not be closed cleanly.
  Async<ExitStatus> Run();

 private:
  Async<void> OpenSockets();
  Result<void> Confine();
  Async<void> OpenExports();
  Async<void> ServeUntilStopped();
  void StartOutlets();
  Control::Hooks MakeHooks();
  // The sides of a change of hands (hand_over.h): this process takes; it gives, takes back, ends.
  Result<void> TakeOver();
  Async<std::vector<UniqueFd>> Give();
  Task<void> TakeBack();
  [[noreturn]] static void EndHandedOver(int process);
  Result<InheritedSockets> CopySockets();
  Task<void> StopOutlets();
  void TellUris();
  Result<void> ServeStdio();
  Result<std::vector<ExportConfig>> RereadConfig() const;

  Context& context_;
  ServeRequest request_;
  ServeLog log_;
  std::optional<StdioConnection> stdio_;
  InheritedSockets sockets_;  // all of them, until they are given away
  std::optional<TakenServer> taken_;
  std::optional<HandedServer> handed_;
  std::optional<StopSignal> stop_signal_;
  std::optional<ServeLoops> loops_;
  std::unique_ptr<nbd::Server> server_;
  std::unique_ptr<ExportKeeper> keeper_;
  std::unique_ptr<Control> control_;
  std::unique_ptr<SmallServer> control_server_;
  std::unique_ptr<SmallServer> metrics_server_;
  std::unique_ptr<MetricsFileTimer> metrics_file_;
  std::optional<HostSpaceWatch> space_watch_;
  std::optional<PidFile> pid_file_;
};

}  // namespace mica
