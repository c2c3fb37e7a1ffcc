// SPDX-License-Identifier: Apache-2.0
#include "tests/protocol/test_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "engine/async/sync_wait.h"
#include "nbd/socket_stream.h"

namespace mica::nbd {

IoEngineKind TestedEngine() {
  const char* const name = std::getenv("MICA_TEST_IO");
  const Result<IoEngineKind> kind = ParseIoEngine(name == nullptr ? "auto" : name);
  MICA_CHECK(kind.has_value());
  return *kind;
}

TestServer::TestServer(const ServerOptions& options) {
  std::promise<void> ready;
  thread_ = std::thread([&] { Main(options, ready); });
  ready.get_future().wait();
}

TestServer::~TestServer() {
  if (!thread_.joinable()) return;
  Stop();
  Join();
}

void TestServer::Main(const ServerOptions& options, std::promise<void>& ready) {
  const Result<std::unique_ptr<Runtime>> runtime = MakePosixRuntime(TestedEngine());
  MICA_CHECK(runtime.has_value());
  loop_ = &(*runtime)->loop();
  device_.emplace(*loop_, DeviceInfo{.size = kDiskBytes});
  server_.emplace(*loop_, options, log_);
  MICA_CHECK(server_->exports().Add(Export("disk", *device_)).has_value());
  ready.set_value();
  SyncWait(*loop_, server_->Run());
  server_.reset();
  device_.reset();
  nobody_posts_.get_future().wait();
}

WireClient TestServer::Connect() {
  std::array<int, 2> ends{};
  MICA_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  OnLoop([&] {
    server_->Serve(std::make_unique<SocketStream>(*loop_, UniqueFd(ends[1])), "test client");
  });
  return WireClient(UniqueFd(ends[0]));
}

WireClient TestServer::ConnectAndGo(ReplyStyle style) {
  WireClient client = Connect();
  client.SetStyle(style);
  client.Send(ClientScript().GoInStyle(style, "disk"));
  EXPECT_TRUE(client.Greeting());
  for (int i = 0; i < ClientScript::OptionRepliesOfGo(style); ++i) {
    EXPECT_TRUE(client.NextOptionReply());
  }
  return client;
}

void TestServer::OnLoop(std::function<void()> call) {
  std::promise<void> done;
  loop_->PostFromAnyThread([&] {
    call();
    done.set_value();
  });
  done.get_future().wait();
}

void TestServer::WaitFor(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  bool holds = false;
  while (!holds) {
    OnLoop([&] { holds = condition(); });
    if (holds || std::chrono::steady_clock::now() > deadline) break;
    std::this_thread::yield();
  }
  EXPECT_TRUE(holds);
}

void TestServer::Stop() {
  // Not OnLoop: an idle server may have ended before the answer.
  loop_->PostFromAnyThread([this] { server_->Stop(); });
}

void TestServer::Join() {
  nobody_posts_.set_value();
  thread_.join();
}

}  // namespace mica::nbd
