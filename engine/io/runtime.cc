// SPDX-License-Identifier: Apache-2.0
#include "engine/io/runtime.h"

#include <fmt/format.h>

#include <array>

#include "engine/async/epoll_loop.h"
#include "engine/io/aio_engine.h"
#include "engine/io/posix_host.h"
#include "engine/io/pread_engine.h"
#include "engine/io/uring_loop.h"

namespace mica {

namespace {

class PreadRuntime final : public Runtime {
 public:
  PreadRuntime(std::unique_ptr<EpollLoop> loop, PreadThreads use)
      : loop_(std::move(loop)), use_(use), calls_(*loop_, use), host_(*loop_, {calls_, calls_}) {}

  static Result<std::unique_ptr<Runtime>> Make(PreadThreads use) {
    ASSIGN(std::unique_ptr<EpollLoop> loop, EpollLoop::Create());
    return std::make_unique<PreadRuntime>(std::move(loop), use);
  }

  [[nodiscard]] EventLoop& loop() noexcept override { return *loop_; }
  [[nodiscard]] Host& host() noexcept override { return host_; }
  [[nodiscard]] IoEngineKind engine() const noexcept override {
    return use_ == PreadThreads::kNone ? IoEngineKind::kBlocking : IoEngineKind::kPread;
  }

 private:
  std::unique_ptr<EpollLoop> loop_;
  PreadThreads use_;
  PreadEngine calls_;
  PosixHost host_;
};

class AioRuntime final : public Runtime {
 public:
  explicit AioRuntime(std::unique_ptr<EpollLoop> loop) : loop_(std::move(loop)), threads_(*loop_) {}

  static Result<std::unique_ptr<Runtime>> Make() {
    ASSIGN(std::unique_ptr<EpollLoop> loop, EpollLoop::Create());
    auto runtime = std::make_unique<AioRuntime>(std::move(loop));
    ASSIGN(runtime->aio_, AioEngine::Create(*runtime->loop_, runtime->threads_));
    const PosixHost::Engines engines{*runtime->aio_, runtime->threads_};
    runtime->host_ = std::make_unique<PosixHost>(*runtime->loop_, engines);
    return runtime;
  }

  [[nodiscard]] EventLoop& loop() noexcept override { return *loop_; }
  [[nodiscard]] Host& host() noexcept override { return *host_; }
  [[nodiscard]] IoEngineKind engine() const noexcept override { return IoEngineKind::kAio; }

 private:
  std::unique_ptr<EpollLoop> loop_;
  PreadEngine threads_;
  std::unique_ptr<AioEngine> aio_;
  std::unique_ptr<PosixHost> host_;
};

class UringRuntime final : public Runtime {
 public:
  explicit UringRuntime(std::unique_ptr<UringLoop> loop)
      : loop_(std::move(loop)), host_(*loop_, {*loop_, *loop_}) {}

  static Result<std::unique_ptr<Runtime>> Make() {
    ASSIGN(std::unique_ptr<UringLoop> loop, UringLoop::Create());
    return std::make_unique<UringRuntime>(std::move(loop));
  }

  [[nodiscard]] EventLoop& loop() noexcept override { return *loop_; }
  [[nodiscard]] Host& host() noexcept override { return host_; }
  [[nodiscard]] IoEngineKind engine() const noexcept override { return IoEngineKind::kUring; }

 private:
  std::unique_ptr<UringLoop> loop_;
  PosixHost host_;
};

Result<std::unique_ptr<Runtime>> Make(IoEngineKind kind) {
  switch (kind) {
    case IoEngineKind::kUring:
      return UringRuntime::Make();
    case IoEngineKind::kAio:
      return AioRuntime::Make();
    case IoEngineKind::kPread:
      return PreadRuntime::Make(PreadThreads::kPool);
    case IoEngineKind::kBlocking:
      return PreadRuntime::Make(PreadThreads::kNone);
    case IoEngineKind::kAuto:
      break;
  }
  return Error{Errc::kInvalidArgument, "an I/O engine has to be named"};
}

constexpr std::array kInOrderOfPreference = {IoEngineKind::kUring, IoEngineKind::kAio,
                                             IoEngineKind::kPread};

}  // namespace

Result<std::unique_ptr<Runtime>> MakePosixRuntime(IoEngineKind kind) {
  if (kind != IoEngineKind::kAuto) return Make(kind);
  for (const IoEngineKind candidate : kInOrderOfPreference) {
    Result<std::unique_ptr<Runtime>> made = Make(candidate);
    if (made || made.error().code != Errc::kUnsupported) return made;
  }
  return Error{Errc::kUnsupported, "no I/O engine works here"};
}

std::string_view IoEngineName(IoEngineKind kind) noexcept {
  switch (kind) {
    case IoEngineKind::kAuto:
      return "auto";
    case IoEngineKind::kUring:
      return "uring";
    case IoEngineKind::kAio:
      return "aio";
    case IoEngineKind::kPread:
      return "pread";
    case IoEngineKind::kBlocking:
      return "blocking";
  }
  return "unknown";
}

Result<IoEngineKind> ParseIoEngine(std::string_view name) {
  for (const IoEngineKind kind : {IoEngineKind::kAuto, IoEngineKind::kUring, IoEngineKind::kAio,
                                  IoEngineKind::kPread, IoEngineKind::kBlocking}) {
    if (IoEngineName(kind) == name) return kind;
  }
  return Error{
      Errc::kInvalidArgument,
      fmt::format("unknown I/O engine \"{}\": expected auto, uring, aio, pread or blocking", name)};
}

}  // namespace mica
