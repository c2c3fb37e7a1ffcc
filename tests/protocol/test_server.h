// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <thread>

#include "engine/io/runtime.h"
#include "nbd/server.h"
#include "nbd/testing/conversation.h"
#include "tests/protocol/wire_client.h"

namespace mica::nbd {

// The engine the environment variable MICA_TEST_IO names ("uring", "pread", …), otherwise the best.
IoEngineKind TestedEngine();

// A server on a thread of its own, with the real event loop and one export "disk" in memory.
class TestServer {
 public:
  static constexpr uint64_t kDiskBytes = uint64_t{1} << 40;

  explicit TestServer(const ServerOptions& options = {});
  // Stops the server and waits for it.
  ~TestServer();
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  // A new connection over a socket pair.
  WireClient Connect();
  // The same, in transmission.
  WireClient ConnectAndGo(ReplyStyle style);

  // Runs `call` on the server's thread and waits for it.
  void OnLoop(std::function<void()> call);
  // Waits until `condition` holds on the server's thread; fails the test after a while.
  void WaitFor(const std::function<bool()>& condition);

  void Stop();
  // Waits until Server::Run has completed.
  void Join();

  // On the server's thread only (OnLoop).
  Server& server() noexcept { return *server_; }
  MemoryDevice& device() noexcept { return *device_; }
  // After Join, or on the server's thread.
  MemoryLog& log() noexcept { return log_; }

 private:
  void Main(const ServerOptions& options, std::promise<void>& ready);

  MemoryLog log_;
  std::promise<void> nobody_posts_;  // any more: the loop may go
  EventLoop* loop_ = nullptr;
  std::optional<MemoryDevice> device_;
  std::optional<Server> server_;
  std::thread thread_;
};

}  // namespace mica::nbd
