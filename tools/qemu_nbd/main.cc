// SPDX-License-Identifier: Apache-2.0
// mica-qemu-nbd: qemu-nbd's command line on mica's server, for scripts and test suites that know
// only that one.
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>

#include "engine/async/sync_wait.h"
#include "engine/filters/offset_device.h"
#include "engine/filters/read_only_device.h"
#include "engine/io/runtime.h"
#include "formats/open_chain.h"
#include "nbd/listen_patiently.h"
#include "nbd/server.h"
#include "tools/cli/chain_bitmaps.h"
#include "tools/cli/pid_file.h"
#include "tools/cli/stop_signal.h"
#include "tools/qemu_nbd/arguments.h"
#include "tools/qemu_nbd/background.h"
#include "tools/qemu_nbd/list_exports.h"
#include "tools/qemu_nbd/tls_objects.h"
#include "tools/serve/inherited_sockets.h"

namespace mica {
namespace {

// Errors as qemu-nbd has them: scripts look for the name the program was started with.
class NamedLog final : public nbd::EventLog {
 public:
  NamedLog(std::string program, nbd::Severity from) : program_(std::move(program)), from_(from) {}

  void Write(const nbd::Event& event) override {
    if (event.severity >= from_) Error(nbd::TextOf(event));
  }
  void Error(std::string_view message) const {
    fmt::print(stderr, "{}: {}\n", program_, message);
    std::fflush(stderr);
  }

 private:
  std::string program_;
  nbd::Severity from_;
};

// The image and the filters the arguments ask for.
struct OpenedImage {
  std::unique_ptr<ImageChain> chain;
  std::unique_ptr<ChainBitmaps> bitmaps;
  std::unique_ptr<BlockDevice> window;
  [[nodiscard]] BlockDevice& device() const { return window ? *window : *chain; }
};

// Only the bitmaps that --bitmap names.
class ChosenBitmaps final : public nbd::BitmapSource {
 public:
  ChosenBitmaps(nbd::BitmapSource& all, std::vector<std::string> names, uint64_t offset)
      : all_(all), names_(std::move(names)), offset_(offset) {}

  [[nodiscard]] std::vector<std::string> Names() const override { return names_; }
  Async<std::vector<nbd::DirtyExtent>> Describe(std::string_view name, ByteRange range,
                                                size_t extents_max) override {
    range.offset += offset_;  // both lie inside the image
    return all_.Describe(name, range, extents_max);
  }

 private:
  nbd::BitmapSource& all_;
  std::vector<std::string> names_;
  uint64_t offset_;
};

Async<OpenedImage> OpenImage(Host& host, const QemuNbdArguments& arguments) {
  OpenChainOptions options;
  options.writable = !arguments.read_only;
  options.format = arguments.format;
  options.snapshot = arguments.snapshot;
  OpenedImage image;
  CO_ASSIGN(image.chain, co_await OpenChain(host, arguments.image, options));
  image.bitmaps = std::make_unique<ChainBitmaps>(*image.chain);
  CO_TRY(co_await image.bitmaps->Refresh());
  const uint64_t size = image.chain->info().size;
  if (arguments.offset > size) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("Offset ({}) has to be smaller than or equal to the image size "
                                "({})",
                                arguments.offset, size)};
  }
  if (arguments.offset != 0) {
    const ByteRange window = RangeBetween(arguments.offset, size);
    image.window = std::make_unique<OffsetDevice>(*image.chain, window);
  }
  co_return image;
}

Result<void> CheckBitmaps(const OpenedImage& image, const QemuNbdArguments& arguments) {
  const std::vector<std::string> names = image.bitmaps->Names();
  for (const std::string& wanted : arguments.bitmaps) {
    if (std::ranges::find(names, wanted) == names.end()) {
      return Error{Errc::kNotFound, fmt::format("Bitmap '{}' is not found", wanted)};
    }
  }
  return {};
}

Result<std::vector<nbd::Listener>> OpenListeners(const QemuNbdArguments& arguments) {
  ASSIGN(InheritedSockets inherited, TakeInheritedSockets());
  if (!inherited.nbd.empty()) {
    if (arguments.socket || arguments.bind || arguments.port) {
      return Error{Errc::kInvalidArgument, "Socket activation and -k, -b or -p exclude each other"};
    }
    return std::move(inherited.nbd);
  }
  if (!arguments.socket) {
    return nbd::Listener::OnTcp(arguments.bind.value_or("0.0.0.0"),
                                arguments.port.value_or("10809"));
  }
  // Like every file it makes, qemu-nbd leaves the mode to the umask.
  const mode_t mask = ::umask(0);
  ::umask(mask);
  std::vector<nbd::Listener> listeners;
  ASSIGN(nbd::Listener listener, nbd::Listener::OnUnixSocket(*arguments.socket, 0777 & ~mask));
  listeners.push_back(std::move(listener));
  return listeners;
}

nbd::ServerOptions OptionsFor(const QemuNbdArguments& arguments, const QemuNbdTls& tls) {
  nbd::ServerOptions options;
  options.tls = tls.options;
  options.when_full = nbd::WhenFull::kWait;
  if (arguments.clients_max != 0) options.limits.connections_max = arguments.clients_max;
  if (!arguments.persistent) options.lifetime = nbd::Lifetime::kUntilUnused;
  return options;
}

Task<void> StopWhenSignalled(EventLoop& loop, const StopSignal& signal, nbd::Server& server) {
  static_cast<void>(co_await signal.Wait(loop));
  server.Stop();
}

class Program {
 public:
  Program(const QemuNbdArguments& arguments, NamedLog& log) : arguments_(arguments), log_(log) {}

  Result<void> Run() {
    if (arguments_.fork) {
      ASSIGN(Background background, Background::Enter());
      background_.emplace(std::move(background));
    }
    ASSIGN(const QemuNbdTls tls, MakeServerTls(arguments_));
    ASSIGN(const std::unique_ptr<Runtime> runtime, MakePosixRuntime(IoEngineKind::kAuto));
    EventLoop& loop = runtime->loop();
    loop.SetBusyPoll(BusyPoll::kServerMax);
    ASSIGN(OpenedImage image, SyncWait(loop, OpenImage(runtime->host(), arguments_)));
    const Result<void> served = Serve(loop, image, tls);
    Result<void> closed = SyncWait(loop, image.chain->Close());
    if (!served) return served;
    return closed;
  }

 private:
  Result<void> Serve(EventLoop& loop, OpenedImage& image, const QemuNbdTls& tls) {
    TRY(CheckBitmaps(image, arguments_));
    ChosenBitmaps bitmaps(*image.bitmaps, arguments_.bitmaps, arguments_.offset);
    nbd::Server server(loop, OptionsFor(arguments_, tls), log_);
    nbd::Export served(arguments_.export_name, image.device());
    served.description = arguments_.description;
    served.clients = tls.clients;
    served.allocation_depth = arguments_.allocation_depth;
    served.bitmaps = &bitmaps;
    served.connections_max = server.options().limits.connections_max;
    if (arguments_.read_only) served.access = nbd::Access::kReadOnly;
    TRY(server.exports().Add(std::move(served)));
    using Listeners = std::vector<nbd::Listener>;
    const std::function<Result<Listeners>()> open = [this] { return OpenListeners(arguments_); };
    ASSIGN(Listeners listeners, SyncWait(loop, nbd::ListenPatiently(loop, open)));
    for (nbd::Listener& listener : listeners) server.Listen(std::move(listener));
    ASSIGN(const StopSignal signal, StopSignal::Install());
    std::optional<PidFile> pid_file;
    if (arguments_.pid_file) {
      ASSIGN(PidFile written, PidFile::Write(*arguments_.pid_file));
      pid_file.emplace(std::move(written));
    }
    if (background_) {
      background_->Ready(arguments_.verbose ? Background::Stderr::kKept
                                            : Background::Stderr::kClosed);
    }
    loop.Spawn(StopWhenSignalled(loop, signal, server));
    SyncWait(loop, server.Run());
    return {};
  }

  const QemuNbdArguments& arguments_;
  NamedLog& log_;
  std::optional<Background> background_;
};

int Main(int argc, char** argv) {
  const std::string program = std::filesystem::path(argv[0]).filename();
  std::signal(SIGPIPE, SIG_IGN);
  const Result<QemuNbdArguments> arguments = ParseQemuNbdArguments(argc, argv);
  const bool verbose = arguments && arguments->verbose;
  // qemu-nbd says nothing of connections that come and go, and suites compare its words.
  NamedLog log(program, verbose ? nbd::Severity::kWarning : nbd::Severity::kError);
  if (!arguments) {
    log.Error(arguments.error().message);
    return EXIT_FAILURE;
  }
  if (arguments->mode == QemuNbdMode::kHelp) {
    fmt::print("{}", QemuNbdHelp(program));
    return EXIT_SUCCESS;
  }
  if (arguments->mode == QemuNbdMode::kVersion) {
    fmt::print("{} (mica {})\n", program, MICA_VERSION);
    return EXIT_SUCCESS;
  }
  const Result<void> done = arguments->mode == QemuNbdMode::kList ? ListExports(*arguments)
                                                                  : Program(*arguments, log).Run();
  if (done) return EXIT_SUCCESS;
  log.Error(done.error().message);
  return EXIT_FAILURE;
}

}  // namespace
}  // namespace mica

int main(int argc, char** argv) {
  return mica::Main(argc, argv);
}
