// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/control.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/chunk_cache.h"
#include "nbd/event_log.h"
#include "tools/serve/config_json.h"
#include "tools/serve/hand_over.h"
#include "tools/serve/small_server.h"

namespace mica {

namespace {

using nlohmann::json;

constexpr uint64_t kDrainSecondsDefault = 60;
constexpr uint64_t kWaitSecondsMax = 86'400;

std::string Done(json content = json::object()) {
  content["ok"] = true;
  return JsonLine(content);
}

std::string Failed(const Error& error) {
  return JsonLine({{"ok", false}, {"error", error.message}, {"kind", ErrcName(error.code)}});
}

// What an operation without content is answered.
Result<std::string> AnswerTo(const Result<void>& done) {
  if (!done) return done.error();
  return Done();
}

// The only arguments are "name", those in `numbers`, and "snapshot" where that is wanted.
struct NamedArguments {
  std::string name;
  std::string snapshot;
  std::map<std::string, uint64_t, std::less<>> numbers;

  [[nodiscard]] Result<std::chrono::seconds> Seconds(uint64_t otherwise) const {
    const auto given = numbers.find("seconds");
    const uint64_t seconds = given == numbers.end() ? otherwise : given->second;
    if (seconds <= kWaitSecondsMax) return std::chrono::seconds(seconds);
    return Error{Errc::kInvalidArgument, fmt::format("seconds: at most {}", kWaitSecondsMax)};
  }
};
enum class WithSnapshot : uint8_t { kNo, kYes };
Result<NamedArguments> TakeNamed(const ConfigFields& arguments,
                                 const std::set<std::string_view>& numbers,
                                 WithSnapshot with_snapshot = WithSnapshot::kNo) {
  NamedArguments taken;
  bool named = false;
  for (const auto& [key, value] : arguments) {
    const auto* const text = std::get_if<std::string>(&value);
    const auto* const number = std::get_if<int64_t>(&value);
    if (key == "name" && text != nullptr) {
      taken.name = *text;
      named = true;
    } else if (key == "snapshot" && text != nullptr && with_snapshot == WithSnapshot::kYes) {
      taken.snapshot = *text;
    } else if (numbers.contains(key) && number != nullptr && *number >= 0) {
      taken.numbers.emplace(key, static_cast<uint64_t>(*number));
    } else {
      return Error{Errc::kInvalidArgument,
                   fmt::format("{}: not an argument of this command, or of the wrong type",
                               nbd::Quoted(key))};
    }
  }
  if (!named) return Error{Errc::kInvalidArgument, "expected the \"name\" of an export"};
  return taken;
}

json Describe(const ExportKeeper::Entry& entry) {
  json described = JsonFromFields(FieldsOf(entry.config));
  std::error_code failed;
  described["path"] = std::filesystem::absolute(entry.config.file, failed).native();
  described["ready"] = entry.ready;
  described["loop"] = entry.shard;
  if (!entry.ready) return described;
  described["size"] = entry.info.size;
  described["read-only"] = entry.info.read_only;
  described["clients"] = entry.served->connections.load();
  return described;
}

json Layers(const ExportKeeper::Entry& entry) {
  json layers = json::array();
  for (const std::shared_ptr<const LayerReads>& layer : entry.layers) {
    layers.push_back({{"filename", layer->path},
                      {"reads", layer->reads.value()},
                      {"bytes", layer->bytes.value()}});
  }
  return layers;
}

json Numbers(const nbd::CommandStats& stats) {
  return {{"requests", stats.requests.value()},
          {"errors", stats.errors.value()},
          {"bytes", stats.bytes.value()},
          {"seconds", static_cast<double>(stats.latency.sum_ns()) / 1e9}};
}

json Commands(const nbd::ExportStats& stats) {
  json commands = json::object();
  using nbd::Command;
  for (const Command command : {Command::kRead, Command::kWrite, Command::kFlush, Command::kTrim,
                                Command::kCache, Command::kWriteZeroes, Command::kBlockStatus}) {
    const nbd::CommandStats& one = stats.of(command);
    if (one.requests.value() != 0) {
      commands[std::string(nbd::CommandName(command))] = Numbers(one);
    }
  }
  return commands;
}

bool IsHandOver(const std::string& line) {
  const Result<json> request = ParseJsonObject(line);
  return request && request->contains("command") && (*request)["command"] == "hand-over";
}

}  // namespace

struct Control::Command {
  std::string_view name;
  Async<std::string> (Control::*run)(ConfigFields arguments, ExportHolds& holds);
};

const Control::Command* Control::FindCommand(std::string_view name) noexcept {
  static constexpr std::array kCommands = {
      Command{"list", &Control::List},
      Command{"stat", &Control::Stat},
      Command{"add", &Control::Add},
      Command{"remove", &Control::Remove},
      Command{"drain", &Control::Drain},
      Command{"limit", &Control::Limit},
      Command{"snapshot", &Control::Snapshot},
      Command{"reload", &Control::Reload},
      Command{"delete-snapshot", &Control::DeleteSnapshot},
      Command{"hold", &Control::Hold},
      Command{"release", &Control::Release},
  };
  const auto* const found = std::ranges::find(kCommands, name, &Command::name);
  return found == kCommands.end() ? nullptr : found;
}

Task<void> Control::Converse(nbd::SocketStream& stream) {
  std::string input;
  ExportHolds holds(server_.loop(), keeper_, log_, stream);
  for (;;) {
    const Result<std::optional<std::string>> line =
        co_await ReceiveLine(stream, input, kLineBytesMax);
    if (line && !*line) break;
    if (line && IsHandOver(**line)) {
      co_await HandOver(stream);
      break;
    }
    std::string answer;
    if (line) {
      Result<std::string> answered = co_await Answer(**line, holds);
      answer = answered ? *std::move(answered) : Failed(answered.error());
    } else {
      answer = Failed(line.error());
    }
    answer += '\n';
    const Result<void> sent = co_await SendText(stream, answer);
    if (!line || !sent) break;
  }
  co_await holds.ReleaseAll();
}

// {"command":"hand-over"}, which has no other form.
Task<void> Control::HandOver(nbd::SocketStream& stream) {
  Result<std::vector<UniqueFd>> given = Error{Errc::kBusy, "the server is being handed over"};
  if (!handing_over_) {
    handing_over_ = true;
    given = co_await hooks_.hand_over.give();
    if (!given) handing_over_ = false;
  }
  if (!given) {
    const std::string answer = Failed(given.error()) + "\n";
    (void)co_await SendText(stream, answer);
    co_return;
  }
  log_.Write(nbd::Severity::kInfo, "handing over to another process");
  const Result<void> taken = co_await Give(stream, *std::move(given));
  if (taken) {
    ucred peer{};
    socklen_t length = sizeof peer;
    (void)::getsockopt(stream.fd(), SOL_SOCKET, SO_PEERCRED, &peer, &length);
    hooks_.hand_over.finish(peer.pid);
  }
  log_.Write(nbd::Severity::kWarning,
             fmt::format("the other process did not take over: {}", taken.error().message));
  co_await hooks_.hand_over.take_back();
  handing_over_ = false;
}

Async<void> Control::Give(nbd::SocketStream& stream, std::vector<UniqueFd> descriptors) {
  constexpr std::chrono::seconds kTakeOverTimeout(60);
  EventLoop& loop = server_.loop();
  const Timer give_up(loop, loop.Now() + kTakeOverTimeout, [&stream] { stream.Abort(); });
  json content{{"descriptors", descriptors.size()}};
  const std::string answer = Done(std::move(content)) + "\n";
  CO_TRY(co_await SendText(stream, answer));
  CO_TRY(co_await SendDescriptors(loop, stream.fd(), descriptors));
  descriptors.clear();
  std::string input;
  CO_ASSIGN(const std::optional<std::string> line,
            co_await ReceiveLine(stream, input, kLineBytesMax));
  if (!line) co_return Error{Errc::kCancelled, "it has gone"};
  co_return Result<void>();
}

Async<std::string> Control::Answer(const std::string& line, ExportHolds& holds) {
  if (handing_over_) co_return Error{Errc::kBusy, "the server is being handed over"};
  CO_ASSIGN(Json request, ParseJsonObject(line));
  CO_ASSIGN(ConfigFields arguments, FieldsFromJson(request));
  const auto named = arguments.extract("command");
  const std::string* const name = named ? std::get_if<std::string>(&named.mapped()) : nullptr;
  const Command* const command = name == nullptr ? nullptr : FindCommand(*name);
  if (command == nullptr) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("\"command\": expected list, stat, add, remove, drain, limit, "
                                "snapshot, delete-snapshot, hold, release or reload, found {}",
                                name == nullptr ? "none" : nbd::Quoted(*name))};
  }
  Result<std::string> answer = co_await (this->*command->run)(std::move(arguments), holds);
  log_.Write(nbd::Severity::kDebug, fmt::format("control: {}: {}", command->name,
                                                answer ? "done" : answer.error().message));
  co_return answer;
}

Async<std::string> Control::List(ConfigFields, ExportHolds&) {
  json exports = json::array();
  for (const auto& [name, entry] : keeper_.entries()) exports.push_back(Describe(*entry));
  co_return Done({{"exports", std::move(exports)}});
}

Async<std::string> Control::Stat(ConfigFields, ExportHolds&) {
  json exports = json::array();
  for (const auto& [name, entry] : keeper_.entries()) {
    json described = Describe(*entry);
    if (entry->ready) {
      described["commands"] = Commands(entry->served->stats);
      described["layers"] = Layers(*entry);
    }
    exports.push_back(std::move(described));
  }
  const ChunkCache::Counters chunks = ChunkCache::OfProcess().counters();
  json cache{{"hits", chunks.hits}, {"misses", chunks.misses}, {"bytes", chunks.bytes}};
  json content{{"exports", std::move(exports)},
               {"connections", server_.connections()},
               {"memory-in-flight", server_.memory().bytes()},
               {"chunk-cache", std::move(cache)}};
  co_return Done(std::move(content));
}

Async<std::string> Control::Add(ConfigFields arguments, ExportHolds&) {
  CO_ASSIGN(ExportConfig config, ExportFromFields(arguments));
  co_return AnswerTo(co_await keeper_.Add(std::move(config)));
}

Async<std::string> Control::Remove(ConfigFields arguments, ExportHolds&) {
  CO_ASSIGN(const NamedArguments taken, TakeNamed(arguments, {}));
  co_return AnswerTo(co_await keeper_.Remove(taken.name, std::chrono::seconds(0)));
}

Async<std::string> Control::Drain(ConfigFields arguments, ExportHolds&) {
  CO_ASSIGN(const NamedArguments taken, TakeNamed(arguments, {"seconds"}));
  CO_ASSIGN(const std::chrono::seconds grace, taken.Seconds(kDrainSecondsDefault));
  co_return AnswerTo(co_await keeper_.Remove(taken.name, grace));
}

Async<std::string> Control::Limit(ConfigFields arguments, ExportHolds&) {
  CO_ASSIGN(const NamedArguments taken, TakeNamed(arguments, {"iops", "bandwidth"}));
  ThrottleLimits limits;
  if (const auto iops = taken.numbers.find("iops"); iops != taken.numbers.end()) {
    limits.requests = iops->second;
  }
  if (const auto bytes = taken.numbers.find("bandwidth"); bytes != taken.numbers.end()) {
    limits.bytes = bytes->second;
  }
  co_return AnswerTo(co_await keeper_.SetLimits(taken.name, limits));
}

Async<std::string> Control::Snapshot(ConfigFields arguments, ExportHolds&) {
  CO_ASSIGN(const NamedArguments taken, TakeNamed(arguments, {}, WithSnapshot::kYes));
  CO_ASSIGN(const SnapshotInfo info, co_await keeper_.Snapshot(taken.name, taken.snapshot));
  json content{{"snapshot", info.name}, {"size", info.virtual_size}, {"epoch", info.epoch}};
  co_return Done(std::move(content));
}

Async<std::string> Control::DeleteSnapshot(ConfigFields arguments, ExportHolds&) {
  CO_ASSIGN(const NamedArguments taken, TakeNamed(arguments, {}, WithSnapshot::kYes));
  co_return AnswerTo(co_await keeper_.DeleteSnapshot(taken.name, taken.snapshot));
}

Async<std::string> Control::Hold(ConfigFields arguments, ExportHolds& holds) {
  CO_ASSIGN(const NamedArguments taken, TakeNamed(arguments, {"seconds"}));
  CO_ASSIGN(const std::chrono::seconds wait, taken.Seconds(0));
  co_return AnswerTo(co_await holds.Hold(taken.name, wait));
}

Async<std::string> Control::Release(ConfigFields arguments, ExportHolds& holds) {
  CO_ASSIGN(const NamedArguments taken, TakeNamed(arguments, {}));
  co_return AnswerTo(co_await holds.Release(taken.name));
}

Async<std::string> Control::Reload(ConfigFields, ExportHolds&) {
  if (reloading_) co_return Error{Errc::kBusy, "another reload is running; try again later"};
  CO_ASSIGN(std::vector<ExportConfig> wanted, hooks_.reread());
  reloading_ = true;
  std::vector<std::string> changed;
  const Result<void> applied = co_await ApplyFile(std::move(wanted), changed);
  reloading_ = false;
  if (!applied) co_return Error(applied.error());
  co_return Done({{"changed", std::move(changed)}});
}

Async<void> Control::ApplyFile(std::vector<ExportConfig> wanted,
                               std::vector<std::string>& changed) {
  std::map<std::string, ExportConfig> by_name;
  for (ExportConfig& config : wanted) by_name.emplace(config.name, std::move(config));
  std::vector<ExportConfig> present;
  for (const auto& [name, entry] : keeper_.entries()) {
    if (entry->config.from_file) present.push_back(entry->config);
  }
  for (const ExportConfig& old : present) {
    const auto found = by_name.find(old.name);
    ExportConfig with_new_limits = old;
    if (found != by_name.end()) with_new_limits.limits = found->second.limits;
    if (found != by_name.end() && found->second == with_new_limits) {
      if (old != with_new_limits) {
        CO_TRY(co_await keeper_.SetLimits(old.name, with_new_limits.limits));
        changed.push_back(old.name);
      }
      by_name.erase(found);
      continue;
    }
    CO_TRY(co_await keeper_.Remove(old.name, std::chrono::seconds(0)));
    changed.push_back(old.name);
  }
  for (auto& [name, config] : by_name) {
    changed.push_back(name);
    CO_TRY(co_await keeper_.Add(std::move(config)));
  }
  co_return Result<void>();
}

}  // namespace mica
