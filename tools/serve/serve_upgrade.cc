// SPDX-License-Identifier: Apache-2.0
// The part of ServeProgram in which a server changes hands.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "tools/serve/serve_program.h"
#include "tools/serve/service_notify.h"

namespace mica {

namespace {

Result<void> CopyListeners(const std::list<nbd::Listener>& from, std::vector<nbd::Listener>& to) {
  for (const nbd::Listener& listener : from) {
    UniqueFd copy(::fcntl(listener.fd(), F_DUPFD_CLOEXEC, 3));
    if (!copy) return ErrnoError(errno, "duplicate a listening socket");
    ASSIGN(nbd::Listener adopted, nbd::Listener::Adopt(std::move(copy)));
    adopted.OwnPath(listener.owned_path());
    to.push_back(std::move(adopted));
  }
  return {};
}

// The sockets of the other process are not ours to remove.
void Disown(InheritedSockets& sockets) {
  for (auto* const kind : {&sockets.nbd, &sockets.control, &sockets.metrics}) {
    for (nbd::Listener& listener : *kind) listener.DisownPath();
  }
}

}  // namespace

Control::Hooks ServeProgram::MakeHooks() {
  Control::Hooks hooks;
  hooks.reread = [this] { return RereadConfig(); };
  hooks.hand_over.give = [this] { return Give(); };
  hooks.hand_over.take_back = [this] { return TakeBack(); };
  hooks.hand_over.finish = &EndHandedOver;
  return hooks;
}

Result<void> ServeProgram::TakeOver() {
  ASSIGN(TakenServer taken, TakeServer(*request_.upgrade));
  request_.config = taken.server.config;
  request_.config_file = taken.server.config_file;
  sockets_ = std::move(taken.server.sockets);
  taken_.emplace(std::move(taken));
  return {};
}

Result<InheritedSockets> ServeProgram::CopySockets() {
  InheritedSockets sockets;
  TRY(CopyListeners(server_->listeners(), sockets.nbd));
  TRY(CopyListeners(control_server_->listeners(), sockets.control));
  TRY(CopyListeners(metrics_server_->listeners(), sockets.metrics));
  return sockets;
}

Async<std::vector<UniqueFd>> ServeProgram::Give() {
  if (request_.config.server.tls.mode != nbd::TlsMode::kOff) {
    co_return Error{Errc::kUnsupported, "a server with TLS cannot be handed over; restart it"};
  }
  HandedServer server;
  server.config = request_.config;
  server.config.exports.clear();
  server.config_file = request_.config_file;
  for (const auto& [name, entry] : keeper_->entries()) {
    if (!entry->ready || entry->busy) {
      co_return Error{Errc::kBusy, fmt::format("export '{}' is being changed; try again", name)};
    }
    server.config.exports.push_back(entry->config);
  }
  CO_ASSIGN(server.sockets, CopySockets());
  server.connections = co_await server_->HandOver();
  handed_.emplace(std::move(server));
  // Exports leave the table first: TakeBack adds them anew.
  for (const ExportConfig& config : handed_->config.exports) server_->exports().Remove(config.name);
  Result<void> closed = co_await keeper_->CloseAll();
  Result<std::vector<UniqueFd>> packed = PackServer(*handed_);
  Disown(handed_->sockets);
  if (closed && packed) co_return packed;
  co_await TakeBack();
  co_return closed ? Error(packed.error()) : Error(closed.error());
}

Task<void> ServeProgram::TakeBack() {
  for (const ExportConfig& config : handed_->config.exports) {
    const Result<void> added = co_await keeper_->Add(config);
    if (!added) log_.Write(nbd::Severity::kError, added.error().message);
  }
  // Through copies, as another process would: an interrupted wait still has the originals.
  std::vector<nbd::HandedConnection> connections = std::move(handed_->connections);
  for (nbd::HandedConnection& connection : connections) {
    connection.socket = UniqueFd(::fcntl(connection.socket.get(), F_DUPFD_CLOEXEC, 3));
  }
  handed_.reset();
  server_->Resume(std::move(connections));
}

// The sockets belong to the other process now, and the loops still wait for them: nothing may be
// taken down in an orderly way. The images are closed.
void ServeProgram::EndHandedOver(int process) {
  NotifyServiceManager(fmt::format("MAINPID={}", process));
  std::_Exit(0);
}

}  // namespace mica
