// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/serve_program.h"

#include <fmt/core.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "nbd/listen_patiently.h"
#include "nbd/socket_stream.h"
#include "tools/cli/output.h"
#include "tools/cli/parse.h"
#include "tools/serve/confinement.h"
#include "tools/serve/metrics_text.h"
#include "tools/serve/service_notify.h"

namespace mica {

namespace {

// Absolute, so that the URI works from any directory, where that is not too long for a socket.
std::filesystem::path ShownPath(const std::filesystem::path& path) {
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::absolute(path, failed);
  return !failed && absolute.native().size() < sizeof(sockaddr_un::sun_path) ? absolute : path;
}

void Append(std::vector<nbd::Listener> from, std::vector<nbd::Listener>& to) {
  for (nbd::Listener& listener : from) to.push_back(std::move(listener));
}

Result<void> AddTcp(const std::string& address, std::vector<nbd::Listener>& to) {
  ASSIGN(const HostPort parsed, ParseHostPort(address));
  ASSIGN(std::vector<nbd::Listener> all, nbd::Listener::OnTcp(parsed.host, parsed.port));
  Append(std::move(all), to);
  return {};
}

// `owner`: who will have to be able to connect to it and to remove it.
Result<void> AddUnix(const std::string& path, const std::optional<std::string>& owner,
                     std::vector<nbd::Listener>& to) {
  const std::filesystem::path shown = ShownPath(path);
  ASSIGN(nbd::Listener listener, nbd::Listener::OnUnixSocket(shown));
  if (owner) {
    ASSIGN(const UserIds ids, FindUser(*owner));
    if (::lchown(shown.c_str(), ids.user, ids.group) != 0) {
      return ErrnoError(errno, fmt::format("{}: give to user '{}'", shown.native(), *owner));
    }
  }
  to.push_back(std::move(listener));
  return {};
}

Result<void> AddVsock(const std::string& address, std::vector<nbd::Listener>& to) {
  ASSIGN(const VsockAddress parsed, ParseVsock(address));
  ASSIGN(nbd::Listener listener,
         nbd::Listener::OnVsock(parsed.cid.value_or(nbd::Listener::kAnyCid), parsed.port));
  to.push_back(std::move(listener));
  return {};
}

// Those that are not inherited.
Result<InheritedSockets> OwnSockets(const ServeConfig& config) {
  InheritedSockets own;
  for (const std::string& path : config.sockets) TRY(AddUnix(path, config.user, own.nbd));
  for (const std::string& address : config.addresses) TRY(AddTcp(address, own.nbd));
  for (const std::string& address : config.vsocks) TRY(AddVsock(address, own.nbd));
  if (config.control) TRY(AddUnix(*config.control, config.user, own.control));
  if (config.metrics_address) TRY(AddTcp(*config.metrics_address, own.metrics));
  return own;
}

size_t ThreadsFor(const ServeConfig& config) {
  if (config.threads != 0) return config.threads;
  return std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kServeThreadsMax);
}

// Of each of `loops` loops.
ParentCacheOptions ParentsFor(const ServeConfig& config, size_t loops, ServeLog& log) {
  ParentCacheOptions options;
  options.note = [&log](const std::string& what) { log.Write(nbd::Severity::kDebug, what); };
  if (config.caches.map_bytes != 0) options.map_bytes_max = config.caches.map_bytes / loops;
  return options;
}

Task<void> StopWhenSignalled(EventLoop& loop, const StopSignal& signal, nbd::Server& server) {
  // A loop that cannot wait for the signal any more cannot be stopped in another way either.
  static_cast<void>(co_await signal.Wait(loop));
  NotifyServiceManager("STOPPING=1");
  server.Stop();
}

}  // namespace

ServeProgram::ServeProgram(Context& context, ServeRequest request)
    : context_(context), request_(std::move(request)), log_(request_.log_from) {}

ServeProgram::~ServeProgram() = default;

Async<void> ServeProgram::OpenSockets() {
  if (request_.upgrade) co_return TakeOver();
  CO_ASSIGN(sockets_, TakeInheritedSockets());
  const ServeConfig& config = request_.config;
  const std::function<Result<InheritedSockets>()> open = [&config] { return OwnSockets(config); };
  CO_ASSIGN(InheritedSockets own, co_await nbd::ListenPatiently(context_.loop, open));
  Append(std::move(own.nbd), sockets_.nbd);
  Append(std::move(own.control), sockets_.control);
  Append(std::move(own.metrics), sockets_.metrics);
  if (config.stdio) {
    if (!sockets_.nbd.empty()) {
      co_return Error{Errc::kInvalidArgument, "--stdio: expected no other socket, found one"};
    }
    request_.config.server.lifetime = nbd::Lifetime::kUntilEmpty;
  } else if (sockets_.nbd.empty()) {
    co_return Error{Errc::kInvalidArgument,
                    "expected --socket, --listen, --vsock, --stdio or a socket of the service "
                    "manager, found none"};
  }
  CO_ASSIGN(request_.config.server.tls, LoadTls(config.tls));
  co_return Result<void>();
}

Result<void> ServeProgram::Confine() {
  if (request_.config.user) TRY(BecomeUser(*request_.config.user));
  if (request_.config.sandbox) TRY(EnterSandbox());
  return {};
}

Async<ExitStatus> ServeProgram::Run() {
  // Before there is a socket: whoever can connect can rely on a clean stop.
  CO_ASSIGN(StopSignal signal, StopSignal::Install());
  stop_signal_.emplace(std::move(signal));
  CO_TRY(co_await OpenSockets());
  log_.SetFormat(request_.config.log_format);
  ChunkCache::OfProcess().SetBytesMax(request_.config.caches.chunk_bytes);
  CO_TRY(Confine());
  ServeLoops::Options options;
  options.threads = ThreadsFor(request_.config);
  options.io = context_.io;
  options.busy_poll = request_.config.busy_poll;
  options.parents = ParentsFor(request_.config, options.threads, log_);
  CO_ASSIGN(loops_, ServeLoops::Start(context_.host, options));
  server_ = std::make_unique<nbd::Server>(context_.loop, request_.config.server, log_);
  for (size_t i = 1; i < loops_->size(); ++i) server_->AddLoop(loops_->loop(i));
  keeper_ = std::make_unique<ExportKeeper>(*loops_, *server_, log_);
  Result<void> served = co_await OpenExports();
  if (served) served = co_await ServeUntilStopped();
  const Result<void> closed = co_await keeper_->CloseAll();
  server_.reset();  // it needs the loops to turn
  if (!served) co_return std::move(served).error();
  if (!closed) co_return ExitStatus::kError;  // already told, image by image
  co_return ExitStatus::kDone;
}

Async<void> ServeProgram::OpenExports() {
  for (const ExportConfig& config : request_.config.exports) {
    Result<void> added = co_await keeper_->Add(config);
    if (!added && added.error().code == Errc::kExists) {
      co_return Error{Errc::kInvalidArgument, added.error().message};  // as it is one of usage
    }
    CO_TRY(std::move(added));
  }
  co_return Result<void>();
}

Async<void> ServeProgram::ServeUntilStopped() {
  if (request_.pid_file) {
    CO_ASSIGN(PidFile written, PidFile::Write(*request_.pid_file));
    pid_file_.emplace(std::move(written));
  }
  if (request_.config.stdio) {
    CO_TRY(ServeStdio());
  } else {
    TellUris();
    CO_TRY(context_.output.Flush());
  }
  for (nbd::Listener& listener : sockets_.nbd) server_->Listen(std::move(listener));
  StartOutlets();
  if (taken_) {
    server_->Resume(std::exchange(taken_->server.connections, {}));
    CO_TRY(TellTakenOver(taken_->control.get()));
    taken_.reset();
  }
  context_.loop.Spawn(StopWhenSignalled(context_.loop, *stop_signal_, *server_));
  NotifyServiceManager("READY=1");
  co_await server_->Run();
  co_await StopOutlets();
  co_return Result<void>();
}

// Says nothing on stdout, which is the client's.
Result<void> ServeProgram::ServeStdio() {
  ASSIGN(StdioConnection connection, StdioConnection::Open());
  stdio_.emplace(std::move(connection));
  server_->Serve(std::make_unique<nbd::SocketStream>(context_.loop, stdio_->TakeSocket()), "stdio");
  return {};
}

void ServeProgram::StartOutlets() {
  space_watch_.emplace(context_.host, *keeper_, log_);
  control_ = std::make_unique<Control>(*server_, *keeper_, log_, MakeHooks());
  control_server_ = std::make_unique<SmallServer>(
      context_.loop, log_,
      [this](nbd::SocketStream& stream) { return control_->Converse(stream); });
  control_server_->Start(std::move(sockets_.control));
  const MetricsSource source = [this] { return MetricsText(*server_, *keeper_); };
  metrics_server_ =
      std::make_unique<SmallServer>(context_.loop, log_, [this, source](nbd::SocketStream& stream) {
        return AnswerMetricsRequest(context_.loop, stream, source);
      });
  metrics_server_->Start(std::move(sockets_.metrics));
  if (request_.config.metrics_file) {
    metrics_file_ = std::make_unique<MetricsFileTimer>(
        context_.loop, *request_.config.metrics_file, source,
        [this](const Error& error) { log_.Write(nbd::Severity::kWarning, error.message); });
  }
}

Task<void> ServeProgram::StopOutlets() {
  space_watch_.reset();
  metrics_file_.reset();
  co_await control_server_->Stop();
  co_await metrics_server_->Stop();
}

void ServeProgram::TellUris() {
  const auto security = request_.config.server.tls.mode == nbd::TlsMode::kRequire
                            ? nbd::UriSecurity::kTls
                            : nbd::UriSecurity::kPlain;
  nlohmann::json exports = nlohmann::json::array();
  for (const ExportConfig& config : request_.config.exports) {
    const ExportKeeper::Entry& entry = *keeper_->entries().find(config.name)->second;
    for (const nbd::Listener& listener : sockets_.nbd) {
      const std::string uri = listener.Uri(config.name, security);
      if (!context_.output.json()) context_.output.Text(uri + "\n");
      exports.push_back({{"name", config.name},
                         {"uri", uri},
                         {"filename", config.file},
                         {"virtual-size", entry.info.size},
                         {"read-only", entry.info.read_only}});
    }
  }
  if (context_.output.json()) context_.output.Record(exports);
}

Result<std::vector<ExportConfig>> ServeProgram::RereadConfig() const {
  if (!request_.config_file) {
    return Error{Errc::kUnsupported, "this server was started without --config"};
  }
  ServeConfig config;
  TRY(ServeConfigFromFile(*request_.config_file, config));
  return std::move(config.exports);
}

}  // namespace mica
