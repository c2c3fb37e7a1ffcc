// SPDX-License-Identifier: Apache-2.0
// The control socket of a server: one JSON object a line in, one a line out. A request has a
// "command" and its arguments, an answer "ok" and, when that is false, "error" (for people) and
// "kind". docs/nbd.md has the commands.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "nbd/server.h"
#include "nbd/socket_stream.h"
#include "tools/serve/export_holds.h"
#include "tools/serve/export_keeper.h"

namespace mica {

// What giving the server to another process takes besides the conversation (hand_over.h).
struct HandOverHooks {
  // Stops everything; the descriptors to send. After an error all goes on as before.
  std::function<Async<std::vector<UniqueFd>>()> give;
  // The other process has gone: goes on here.
  std::function<Task<void>()> take_back;
  // The other process, of this number, has it. Does not return.
  std::function<void(int process)> finish;
};

// On the server's own loop.
class Control {
 public:
  // `reread`: the exports as the config file has them now; kUnsupported when there is no file.
  using Reread = std::function<Result<std::vector<ExportConfig>>()>;
  struct Hooks {
    Reread reread;
    HandOverHooks hand_over;
  };
  Control(nbd::Server& server, ExportKeeper& keeper, nbd::EventLog& log, Hooks hooks)
      : server_(server), keeper_(keeper), log_(log), hooks_(std::move(hooks)) {}
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  static constexpr size_t kLineBytesMax = 64u << 10;

  // Answers request after request until the peer leaves or sends what is no line.
  Task<void> Converse(nbd::SocketStream& stream);

 private:
  using Json = nlohmann::json;
  struct Command;
  static const Command* FindCommand(std::string_view name) noexcept;

  Task<void> HandOver(nbd::SocketStream& stream);
  Async<void> Give(nbd::SocketStream& stream, std::vector<UniqueFd> descriptors);
  Async<std::string> Answer(const std::string& line, ExportHolds& holds);
  Async<std::string> List(ConfigFields arguments, ExportHolds& holds);
  Async<std::string> Stat(ConfigFields arguments, ExportHolds& holds);
  Async<std::string> Add(ConfigFields arguments, ExportHolds& holds);
  Async<std::string> Remove(ConfigFields arguments, ExportHolds& holds);
  Async<std::string> Drain(ConfigFields arguments, ExportHolds& holds);
  Async<std::string> Limit(ConfigFields arguments, ExportHolds& holds);
  Async<std::string> Snapshot(ConfigFields arguments, ExportHolds& holds);
  Async<std::string> DeleteSnapshot(ConfigFields arguments, ExportHolds& holds);
  Async<std::string> Hold(ConfigFields arguments, ExportHolds& holds);
  Async<std::string> Release(ConfigFields arguments, ExportHolds& holds);
  Async<std::string> Reload(ConfigFields arguments, ExportHolds& holds);

  // Makes the exports of the config file what `wanted` says; the names of what was changed.
  Async<void> ApplyFile(std::vector<ExportConfig> wanted, std::vector<std::string>& changed);

  nbd::Server& server_;
  ExportKeeper& keeper_;
  nbd::EventLog& log_;
  Hooks hooks_;
  bool reloading_ = false;
  bool handing_over_ = false;
};

}  // namespace mica
