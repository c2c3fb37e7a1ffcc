// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/un.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "nbd/server.h"
#include "tools/parse.h"
#include "tools/pid_file.h"
#include "tools/serve_log.h"
#include "tools/served_image.h"
#include "tools/stop_signal.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "serve",
    .summary = "Export images over NBD until SIGINT, SIGTERM or SIGHUP",
    .synopsis = "[--socket PATH | --listen HOST:PORT]... [OPTION]... [NAME=]FILE...",
    .notes =
        "An export is called NAME, or as FILE without directory and last extension. Sealed images\n"
        "are served read-only, all others are locked for this process and writable unless\n"
        "--read-only is given. When everything is ready the URI of each export is printed, one\n"
        "line each (JSON: one line with an array of all). TCP is neither encrypted nor\n"
        "authenticated: use it on networks you trust.\n"
        "When it is told to stop, requests in flight are answered and the images closed; an image\n"
        "that could not be closed cleanly makes the exit status 1."};

struct ServeOptions {
  std::vector<std::string> sockets;
  std::vector<std::string> addresses;
  std::vector<std::string> exports;
  std::optional<std::string> format;
  std::optional<std::string> pid_file;
  bool read_only = false;
  bool verbose = false;
};

// A server of hundreds of images needs more descriptors than a shell grants. What the limit does
// not allow shows when a file cannot be opened.
void AllowManyFiles() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

// Absolute, so that the URI works from any directory, where that is not too long for a socket.
std::filesystem::path ShownPath(const std::filesystem::path& path) {
  std::error_code failed;
  const std::filesystem::path absolute = std::filesystem::absolute(path, failed);
  return !failed && absolute.native().size() < sizeof(sockaddr_un::sun_path) ? absolute : path;
}

Result<std::vector<nbd::Listener>> MakeListeners(const ServeOptions& options) {
  std::vector<nbd::Listener> listeners;
  for (const std::string& path : options.sockets) {
    ASSIGN(nbd::Listener listener, nbd::Listener::OnUnixSocket(ShownPath(path)));
    listeners.push_back(std::move(listener));
  }
  for (const std::string& address : options.addresses) {
    ASSIGN(const HostPort parsed, ParseHostPort(address));
    ASSIGN(std::vector<nbd::Listener> all, nbd::Listener::OnTcp(parsed.host, parsed.port));
    for (nbd::Listener& listener : all) listeners.push_back(std::move(listener));
  }
  return listeners;
}

Async<std::vector<ServedImage>> OpenAll(Host& host, const ServeOptions& options) {
  std::vector<ServedImage> images;
  ServeAccess access;
  access.read_only = options.read_only;
  access.format = options.format;
  for (const std::string& word : options.exports) {
    CO_ASSIGN(ServedImage image, co_await OpenServedImage(host, ParseExport(word), access));
    images.push_back(std::move(image));
  }
  co_return images;
}

Result<void> AddExports(const std::vector<ServedImage>& images, nbd::Server& server) {
  for (const ServedImage& image : images) {
    nbd::Export added(image.name, *image.chain);
    added.description = image.path;
    Result<void> done = server.exports().Add(std::move(added));
    if (!done && done.error().code == Errc::kExists) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("{}: expected a new export name, found '{}' a second time; try "
                               "another with NAME={}",
                               image.path, image.name, image.path)};
    }
    TRY(std::move(done));
  }
  return {};
}

void TellUris(const std::vector<ServedImage>& images, const std::vector<nbd::Listener>& listeners,
              Output& output) {
  nlohmann::json exports = nlohmann::json::array();
  for (const ServedImage& image : images) {
    for (const nbd::Listener& listener : listeners) {
      const std::string uri = listener.Uri(image.name);
      if (!output.json()) output.Text(uri + "\n");
      exports.push_back({{"name", image.name},
                         {"uri", uri},
                         {"filename", image.path},
                         {"virtual-size", image.chain->info().size},
                         {"read-only", image.chain->info().read_only}});
    }
  }
  if (output.json()) output.Record(exports);
}

Task<void> StopWhenSignalled(EventLoop& loop, const StopSignal& signal, nbd::Server& server) {
  // A loop that cannot wait for the signal any more cannot be stopped in another way either.
  static_cast<void>(co_await signal.Wait(loop));
  server.Stop();
}

nbd::Severity LogFrom(const ServeOptions& options, const Output& output) {
  if (options.verbose) return nbd::Severity::kDebug;
  return output.quiet() ? nbd::Severity::kWarning : nbd::Severity::kInfo;
}

// Serves until a signal comes and everything in flight has been answered.
Async<void> RunServer(Context& context, const ServeOptions& options,
                      const std::vector<ServedImage>& images) {
  ServeLog log(LogFrom(options, context.output));
  const nbd::ServerOptions server_options;
  nbd::Server server(context.loop, server_options, log);
  CO_TRY(AddExports(images, server));
  CO_ASSIGN(std::vector<nbd::Listener> listeners, MakeListeners(options));
  CO_ASSIGN(const StopSignal signal, StopSignal::Install());
  std::optional<PidFile> pid_file;
  if (options.pid_file) {
    CO_ASSIGN(PidFile written, PidFile::Write(*options.pid_file));
    pid_file.emplace(std::move(written));
  }
  TellUris(images, listeners, context.output);
  CO_TRY(context.output.Flush());
  for (nbd::Listener& listener : listeners) server.Listen(std::move(listener));
  context.loop.Spawn(StopWhenSignalled(context.loop, signal, server));
  co_await server.Run();
  co_return Result<void>();
}

Async<ExitStatus> Serve(Context& context, const ServeOptions& options) {
  if (options.sockets.empty() && options.addresses.empty()) {
    co_return Error{Errc::kInvalidArgument, "expected --socket or --listen, found neither"};
  }
  AllowManyFiles();
  std::signal(SIGPIPE, SIG_IGN);  // whoever read the URIs may be gone
  CO_ASSIGN(std::vector<ServedImage> images, co_await OpenAll(context.host, options));
  const Result<void> served = co_await RunServer(context, options, images);
  const Result<void> closed = co_await CloseServedImages(context.loop, images);
  if (!served) co_return served.error();
  if (!closed) co_return ExitStatus::kError;  // already told, image by image
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddServe(CLI::App& program) {
  const auto options = std::make_shared<ServeOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command
      ->add_option("--socket", options->sockets,
                   "Listen on this unix socket, which is made (mode 0600) and removed at the end")
      ->type_name("PATH")
      ->allow_extra_args(false);
  command
      ->add_option("--listen", options->addresses,
                   "Listen on TCP; :PORT is every address, port 0 a free one")
      ->type_name("HOST:PORT")
      ->allow_extra_args(false);
  AddFormat(*command, "-f,--format", options->format,
            "Format of every FILE; -f raw is needed to serve a raw image writable");
  command->add_flag("-r,--read-only", options->read_only, "Open every image read-only");
  command->add_option("--pid-file", options->pid_file, "Write the process number here when ready")
      ->type_name("PATH");
  command->add_flag("-v,--verbose", options->verbose, "Report every connection on stderr");
  command->add_option("FILE", options->exports, "The images, each as FILE or NAME=FILE")
      ->required();
  return {command,
          [options](Context& context) { return SyncWait(context.loop, Serve(context, *options)); }};
}

}  // namespace mica
