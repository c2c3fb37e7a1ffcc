// SPDX-License-Identifier: Apache-2.0
// The NBD server over a disk that costs nothing, to measure the protocol alone:
//
//   bench_nbd_null --socket /tmp/s [--listen HOST:PORT] [--device null|memory] [--size BYTES]
//                  [--io auto|uring|aio|pread] [--exports NUMBER]
//   fio --name=r --ioengine=nbd --uri='nbd+unix:///?socket=/tmp/s' --rw=randread --bs=4k
//       --iodepth=16 --time_based --runtime=5 --size=64M
//
// SIGTERM and SIGINT end it cleanly.
#include <fmt/format.h>
#include <getopt.h>
#include <sys/mman.h>
#include <sys/signalfd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "engine/async/sync_wait.h"
#include "engine/io/runtime.h"
#include "nbd/server.h"

namespace mica {
namespace {

// Memory, or nothing at all: writes are forgotten and reads are zero.
class CheapDevice final : public BlockDevice {
 public:
  enum class Content : uint8_t { kNull, kMemory };

  CheapDevice(uint64_t size, Content content) {
    info_.size = size;
    if (content == Content::kNull) return;
    void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MICA_CHECK(memory != MAP_FAILED);
    content_ = {static_cast<std::byte*>(memory), size};
  }
  ~CheapDevice() override {
    if (!content_.empty()) ::munmap(content_.data(), content_.size());
  }

  [[nodiscard]] const DeviceInfo& info() const noexcept override { return info_; }
  Async<void> Read(uint64_t offset, Bytes buffer) override {
    if (content_.empty()) {
      FillZero(buffer);
    } else {
      std::memcpy(buffer.data(), &content_[offset], buffer.size());
    }
    co_return Result<void>();
  }
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability) override {
    if (!content_.empty()) std::memcpy(&content_[offset], buffer.data(), buffer.size());
    co_return Result<void>();
  }
  Async<void> WriteZeroes(ByteRange range, ZeroHint, Durability) override {
    if (!content_.empty()) {
      // Whole pages go back to the kernel and read zero afterwards.
      const ByteRange pages =
          RangeBetween(AlignUp(range.offset, 4096), AlignDown(range.end(), 4096));
      if (pages.empty()) {
        FillZero(content_.subspan(range.offset, range.length));
      } else {
        FillZero(content_.subspan(range.offset, pages.offset - range.offset));
        ::madvise(&content_[pages.offset], pages.length, MADV_DONTNEED);
        FillZero(content_.subspan(pages.end(), range.end() - pages.end()));
      }
    }
    co_return Result<void>();
  }
  Async<void> Discard(ByteRange range, Durability durability) override {
    return WriteZeroes(range, ZeroHint::kMayUnmap, durability);
  }
  Async<void> Flush() override { co_return Result<void>(); }
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t) override {
    const bool empty = content_.empty();
    std::vector<StatusExtent> extents;
    extents.push_back(
        {.length = range.length, .hole = empty, .zero = empty, .depth = empty ? 0u : 1u});
    co_return extents;
  }

 private:
  DeviceInfo info_;
  Bytes content_;
};

class StderrLog final : public nbd::EventLog {
 public:
  void Write(const nbd::Event& event) override {
    if (event.severity != nbd::Severity::kDebug) fmt::print(stderr, "{}\n", nbd::TextOf(event));
  }
};

struct Arguments {
  std::string socket;
  std::string listen;
  uint64_t size = uint64_t{1} << 30;
  uint64_t exports = 1;  // "disk", "disk1", "disk2", …: the same disk under many names
  CheapDevice::Content content = CheapDevice::Content::kNull;
  IoEngineKind io = IoEngineKind::kAuto;
};

Result<Arguments> Parse(int argc, char** argv) {
  const option options[] = {{"socket", required_argument, nullptr, 's'},
                            {"listen", required_argument, nullptr, 'l'},
                            {"device", required_argument, nullptr, 'd'},
                            {"size", required_argument, nullptr, 'z'},
                            {"io", required_argument, nullptr, 'i'},
                            {"exports", required_argument, nullptr, 'e'},
                            {nullptr, 0, nullptr, 0}};
  Arguments arguments;
  for (int c = 0; (c = ::getopt_long(argc, argv, "", options, nullptr)) != -1;) {
    switch (c) {
      case 's':
        arguments.socket = optarg;
        break;
      case 'l':
        arguments.listen = optarg;
        break;
      case 'd':
        arguments.content = std::string_view(optarg) == "memory" ? CheapDevice::Content::kMemory
                                                                 : CheapDevice::Content::kNull;
        break;
      case 'e':
        arguments.exports = std::strtoull(optarg, nullptr, 10);
        break;
      case 'z':
        arguments.size = std::strtoull(optarg, nullptr, 10);
        break;
      case 'i': {
        ASSIGN(arguments.io, ParseIoEngine(optarg));
        break;
      }
      default:
        return Error{Errc::kInvalidArgument, "see the head of bench_nbd_null.cc"};
    }
  }
  return arguments;
}

Task<void> StopOnSignal(EventLoop& loop, nbd::Server& server) {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  const UniqueFd fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  (void)co_await loop.WaitReady(fd.get(), Readiness::kReadable);
  server.Stop();
}

Result<void> Run(const Arguments& arguments) {
  ASSIGN(const std::unique_ptr<Runtime> runtime, MakePosixRuntime(arguments.io));
  EventLoop& loop = runtime->loop();
  StderrLog log;
  CheapDevice device(arguments.size, arguments.content);
  nbd::Server server(loop, nbd::ServerOptions{}, log);
  for (uint64_t i = 0; i < arguments.exports; ++i) {
    nbd::Export disk(i == 0 ? "disk" : fmt::format("disk{}", i), device);
    disk.description = "a disk that costs nothing";
    TRY(server.exports().Add(std::move(disk)));
  }
  std::vector<nbd::Listener> listeners;
  if (!arguments.socket.empty()) {
    ASSIGN(nbd::Listener listener, nbd::Listener::OnUnixSocket(arguments.socket));
    listeners.push_back(std::move(listener));
  }
  if (!arguments.listen.empty()) {
    const size_t colon = arguments.listen.rfind(':');
    ASSIGN(std::vector<nbd::Listener> tcp,
           nbd::Listener::OnTcp(arguments.listen.substr(0, colon),
                                arguments.listen.substr(colon + 1)));
    for (nbd::Listener& listener : tcp) listeners.push_back(std::move(listener));
  }
  for (nbd::Listener& listener : listeners) {
    fmt::print("{} ({})\n", listener.Uri("disk"), IoEngineName(runtime->engine()));
    server.Listen(std::move(listener));
  }
  std::fflush(stdout);
  loop.Spawn(StopOnSignal(loop, server));
  SyncWait(loop, server.Run());
  return {};
}

}  // namespace
}  // namespace mica

int main(int argc, char** argv) {
  const mica::Result<mica::Arguments> arguments = mica::Parse(argc, argv);
  const mica::Result<void> run = arguments ? mica::Run(*arguments) : arguments.error();
  if (run) return 0;
  fmt::print(stderr, "bench_nbd_null: {}\n", run.error().message);
  return 1;
}
