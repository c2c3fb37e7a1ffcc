// SPDX-License-Identifier: Apache-2.0
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <memory>

#include "engine/async/sync_wait.h"
#include "tools/cli/parse.h"
#include "tools/serve/serve_program.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "serve",
    .summary = "Export images over NBD until SIGINT, SIGTERM or SIGHUP",
    .synopsis =
        "[--config FILE] [--socket PATH | --listen HOST:PORT]... [OPTION]... [NAME=]FILE...",
    .notes =
        "An export is called NAME, or as FILE without directory and last extension. Sealed images\n"
        "are served read-only, all others are locked for this process and writable unless\n"
        "--read-only is given. When everything is ready the URI of each export is printed, one\n"
        "line each (JSON: one line with an array of all). Without --tls-certificates or --tls-psk\n"
        "TCP is neither encrypted nor authenticated: use it on networks you trust then.\n"
        "With --control, exports come and go while the server runs: see `mica ctl`. The keys of\n"
        "the config file are in docs/nbd.md.\n"
        "A warning is logged when an image passes 80, 90 or 95 % of its quota, its soft quota, or\n"
        "its file system fills up so far.\n"
        "When it is told to stop, requests in flight are answered and the images closed; an image\n"
        "that could not be closed cleanly makes the exit status 1."};

struct ServeOptions {
  std::optional<std::string> config_file;
  std::vector<std::string> sockets;
  std::vector<std::string> addresses;
  std::vector<std::string> vsocks;
  std::vector<std::string> clients;
  std::vector<std::string> exports;
  TlsSettings tls;
  std::optional<std::string> tls_mode;
  std::optional<std::string> format;
  std::optional<std::string> control;
  std::optional<std::string> upgrade;
  std::optional<std::string> metrics_address;
  std::optional<std::string> metrics_file;
  std::optional<std::string> pid_file;
  std::optional<std::string> user;
  std::optional<uint64_t> iops;
  std::optional<uint64_t> bandwidth;
  std::optional<uint64_t> chunk_cache;
  std::optional<uint64_t> map_cache;
  std::optional<std::string> log_format;
  std::optional<uint32_t> threads;
  std::optional<int64_t> busy_poll_microseconds;
  bool stdio = false;
  bool read_only = false;
  bool hide_names = false;
  bool no_sandbox = false;
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

nbd::Severity LogFrom(const ServeOptions& options, const Output& output) {
  if (options.verbose) return nbd::Severity::kDebug;
  return output.quiet() ? nbd::Severity::kWarning : nbd::Severity::kInfo;
}

ExportConfig ExportOf(const std::string& word, const ServeOptions& options) {
  const ExportWord parsed = ParseExport(word);
  ExportConfig config;
  config.name = parsed.name;
  config.file = parsed.path;
  config.format = options.format;
  config.read_only = options.read_only;
  config.clients = options.clients;
  config.limits = {.requests = options.iops.value_or(0), .bytes = options.bandwidth.value_or(0)};
  return config;
}

template <class T>
void Override(std::optional<T>& value, const std::optional<T>& by) {
  if (by) value = by;
}

Result<void> OverrideCaches(const ServeOptions& options, CacheSizes& caches) {
  constexpr uint64_t kMapBytesMin = 1u << 20;
  if (options.map_cache && *options.map_cache < kMapBytesMin) {
    return Error{Errc::kInvalidArgument, "--map-cache: expected at least 1M"};
  }
  caches.chunk_bytes = options.chunk_cache.value_or(caches.chunk_bytes);
  caches.map_bytes = options.map_cache.value_or(caches.map_bytes);
  return {};
}

// The file, then what the command line adds to it or says differently.
Result<ServeRequest> RequestFrom(const ServeOptions& options, const Output& output) {
  ServeRequest request;
  ServeConfig& config = request.config;
  if (options.config_file) TRY(ServeConfigFromFile(*options.config_file, config));
  config.sockets.insert(config.sockets.end(), options.sockets.begin(), options.sockets.end());
  config.addresses.insert(config.addresses.end(), options.addresses.begin(),
                          options.addresses.end());
  config.vsocks.insert(config.vsocks.end(), options.vsocks.begin(), options.vsocks.end());
  if (options.stdio) config.stdio = true;
  if (options.tls_mode) {
    ASSIGN(config.tls.mode, ParseTlsMode(*options.tls_mode));
  }
  Override(config.tls.certificates, options.tls.certificates);
  Override(config.tls.psk_file, options.tls.psk_file);
  if (options.tls.any_client) config.tls.any_client = true;
  for (const std::string& rule : options.clients) TRY(CheckClientRule(rule));
  for (const std::string& word : options.exports) config.exports.push_back(ExportOf(word, options));
  Override(config.control, options.control);
  Override(config.metrics_address, options.metrics_address);
  Override(config.metrics_file, options.metrics_file);
  Override(config.user, options.user);
  if (options.threads) config.threads = *options.threads;
  if (options.busy_poll_microseconds) {
    config.busy_poll = std::chrono::microseconds(*options.busy_poll_microseconds);
  }
  TRY(OverrideCaches(options, config.caches));
  if (options.log_format) {
    ASSIGN(config.log_format, ParseLogFormat(*options.log_format));
  }
  if (options.hide_names) config.server.listing = nbd::NameListing::kHidden;
  if (options.no_sandbox) config.sandbox = false;
  request.config_file = options.config_file;
  request.pid_file = options.pid_file;
  request.log_from = LogFrom(options, output);
  request.upgrade = options.upgrade;
  if (request.upgrade) return request;
  if (config.exports.empty() && !config.control) {
    return Error{Errc::kInvalidArgument,
                 "expected an image to export, found none (nor --control, to add some later)"};
  }
  return request;
}

Result<ExitStatus> Serve(Context& context, const ServeOptions& options) {
  ASSIGN(ServeRequest request, RequestFrom(options, context.output));
  AllowManyFiles();
  std::signal(SIGPIPE, SIG_IGN);  // whoever read the URIs may be gone
  ServeProgram program(context, std::move(request));
  return SyncWait(context.loop, program.Run());
}

void AddSocketOptions(CLI::App& command, ServeOptions& options) {
  command
      .add_option("--socket", options.sockets,
                  "Listen on this unix socket, which is made (mode 0600) and removed at the end")
      ->type_name("PATH")
      ->allow_extra_args(false);
  command
      .add_option("--listen", options.addresses,
                  "Listen on TCP; :PORT is every address, port 0 a free one")
      ->type_name("HOST:PORT")
      ->allow_extra_args(false);
  command
      .add_option("--vsock", options.vsocks,
                  "Listen on vsock, for the guests of this host; every address without CID")
      ->type_name("[CID:]PORT")
      ->allow_extra_args(false);
  command.add_flag("--stdio", options.stdio,
                   "Serve one client at stdin and stdout, then end; URIs are not printed");
  command
      .add_option("--control", options.control,
                  "Take commands of `mica ctl` on this unix socket (mode 0600)")
      ->type_name("PATH");
  command
      .add_option("--upgrade", options.upgrade,
                  "Take over from the server with this control socket: its exports, settings,\n"
                  "sockets and connections; other options but --pid-file and -v say nothing then")
      ->type_name("PATH");
  command
      .add_option("--metrics-listen", options.metrics_address,
                  "Answer HTTP GET /metrics here, in the text format of Prometheus")
      ->type_name("HOST:PORT");
  command
      .add_option("--metrics-file", options.metrics_file,
                  "Write the same into this file every 10 s")
      ->type_name("FILE");
}

void AddTlsOptions(CLI::App& command, ServeOptions& options) {
  command
      .add_option("--tls", options.tls_mode,
                  "off, allow or require; require as soon as there are credentials")
      ->type_name("MODE");
  command
      .add_option("--tls-certificates", options.tls.certificates,
                  "Folder with ca-cert.pem, server-cert.pem, server-key.pem and perhaps "
                  "ca-crl.pem")
      ->type_name("DIR");
  command
      .add_option("--tls-psk", options.tls.psk_file,
                  "File with lines USER:KEY, as psktool writes it, instead of certificates")
      ->type_name("FILE");
  command.add_flag("--tls-any-client", options.tls.any_client,
                   "Do not ask clients for certificates");
  command
      .add_option("--client", options.clients,
                  "Who may use each FILE: psk:USER, cn:NAME or dn:DN; everybody without")
      ->type_name("CLIENT")
      ->allow_extra_args(false);
}

void AddLimitOptions(CLI::App& command, ServeOptions& options) {
  command.add_option("--threads", options.threads, "Event loops; one for each core by default")
      ->check(CLI::Range(1u, kServeThreadsMax))
      ->type_name("N");
  command
      .add_option("--busy-poll", options.busy_poll_microseconds,
                  "How long a loop stays awake for a client that has been quick; 50 by default, "
                  "0: it sleeps at once")
      ->check(CLI::Range(int64_t{0}, kBusyPollMicrosecondsMax))
      ->type_name("USEC");
  AddSize(command, "--iops", options.iops, "Requests a second that each FILE gets");
  AddSize(command, "--bandwidth", options.bandwidth, "Bytes a second that each FILE gets");
  AddSize(command, "--chunk-cache", options.chunk_cache,
          "Memory for decompressed content of all FILEs; 64M by default");
  AddSize(command, "--map-cache", options.map_cache,
          "Memory for the maps of all FILEs; 256M for each thread by default");
  command.add_flag("--hide-names", options.hide_names,
                   "Do not tell clients what exports there are");
  command.add_option("--user", options.user, "Become this user when the sockets are open")
      ->type_name("NAME");
  command.add_flag("--no-sandbox", options.no_sandbox,
                   "Do not give up what serving does not need (seccomp, Landlock)");
}

}  // namespace

Verb AddServe(CLI::App& program) {
  const auto options = std::make_shared<ServeOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("-c,--config", options->config_file, "Read exports and settings from here")
      ->type_name("FILE");
  AddSocketOptions(*command, *options);
  AddFormat(*command, "-f,--format", options->format,
            "Format of every FILE; -f raw is needed to serve a raw image writable");
  command->add_flag("-r,--read-only", options->read_only, "Open every FILE read-only");
  AddTlsOptions(*command, *options);
  AddLimitOptions(*command, *options);
  command->add_option("--pid-file", options->pid_file, "Write the process number here when ready")
      ->type_name("PATH");
  command->add_flag("-v,--verbose", options->verbose, "Report every connection on stderr");
  command
      ->add_option("--log-format", options->log_format,
                   "What is reported while serving: text, or json, one object a line")
      ->type_name("FORMAT");
  command->add_option("FILE", options->exports, "The images, each as FILE or NAME=FILE");
  return {command, [options](Context& context) { return Serve(context, *options); }};
}

}  // namespace mica
