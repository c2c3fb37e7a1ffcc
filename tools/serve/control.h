// SPDX-License-Identifier: Apache-2.0
// The control socket of a server: one JSON object a line in, one a line out. A request has a
// "command" and its arguments, an answer "ok" and, when that is false, "error" (for people) and
// "kind". docs/nbd.md has the commands.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "nbd/server.h"
#include "tools/serve/export_keeper.h"

namespace mica {

// On the server's own loop.
class Control {
 public:
  // `reread`: the exports as the config file has them now; kUnsupported when there is no file.
  using Reread = std::function<Result<std::vector<ExportConfig>>()>;
  Control(nbd::Server& server, ExportKeeper& keeper, nbd::EventLog& log, Reread reread)
      : server_(server), keeper_(keeper), log_(log), reread_(std::move(reread)) {}
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  static constexpr size_t kLineBytesMax = 64u << 10;

  // Answers request after request until the peer leaves or sends what is no line.
  Task<void> Converse(nbd::Stream& stream);

 private:
  using Json = nlohmann::json;
  struct Command;
  static const Command* FindCommand(std::string_view name) noexcept;

  Async<std::string> Answer(const std::string& line);
  Async<std::string> List(ConfigFields arguments);
  Async<std::string> Stat(ConfigFields arguments);
  Async<std::string> Add(ConfigFields arguments);
  Async<std::string> Remove(ConfigFields arguments);
  Async<std::string> Drain(ConfigFields arguments);
  Async<std::string> Limit(ConfigFields arguments);
  Async<std::string> Snapshot(ConfigFields arguments);
  Async<std::string> Reload(ConfigFields arguments);

  // Makes the exports of the config file what `wanted` says; the names of what was changed.
  Async<void> ApplyFile(std::vector<ExportConfig> wanted, std::vector<std::string>& changed);

  nbd::Server& server_;
  ExportKeeper& keeper_;
  nbd::EventLog& log_;
  Reread reread_;
  bool reloading_ = false;
};

}  // namespace mica
