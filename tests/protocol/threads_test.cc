// SPDX-License-Identifier: Apache-2.0
// A server on several loops: connections move to the loop of the export they name, exports come and
// go while others run, a stop drains all loops. Run under ThreadSanitizer (preset tsan).
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <thread>

#include "engine/async/call_on.h"
#include "engine/async/sync_wait.h"
#include "engine/io/loop_thread.h"
#include "nbd/socket_stream.h"
#include "tests/protocol/test_server.h"

namespace mica::nbd {
namespace {

constexpr size_t kThreads = 3;
constexpr uint64_t kDiskBytes = 64u << 20;

// The server on a thread of its own, its shards on others; export "diskN" lives on shard N.
class ThreadedServer {
 public:
  explicit ThreadedServer(const ServerOptions& options = {}) : main_(*LoopThread::Start(Engine())) {
    std::promise<void> ready;
    main_->loop().PostFromAnyThread([&] {
      server_.emplace(main_->loop(), options, log_);
      for (size_t i = 0; i < kThreads; ++i) {
        if (i != 0) {
          threads_.push_back(*LoopThread::Start(Engine()));
          MICA_CHECK(server_->AddLoop(threads_.back()->loop()) == i);
        }
        devices_.push_back(
            std::make_unique<MemoryDevice>(LoopOf(i), DeviceInfo{.size = kDiskBytes}));
        AddExport(i);
      }
      main_->loop().Spawn(RunServer());
      ready.set_value();
    });
    ready.get_future().wait();
  }
  ~ThreadedServer() {
    Stop();
    ended_.get_future().wait();
    Call([&] { server_.reset(); });
    EXPECT_EQ(connections_at_end_, 0u);
    if (!::testing::Test::HasFailure()) return;
    for (const std::string& line : log_.lines) std::printf("server: %s\n", line.c_str());
  }

  WireClient Connect() {
    std::array<int, 2> ends{};
    MICA_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    Call([&] {
      server_->Serve(std::make_unique<SocketStream>(main_->loop(), UniqueFd(ends[1])), "client");
    });
    return WireClient(UniqueFd(ends[0]));
  }
  void Stop() {
    main_->loop().PostFromAnyThread([this] { server_->Stop(); });
  }
  // Takes an export away, waits for the last of its clients, and adds it again.
  void RemoveAndAdd(size_t shard) {
    std::promise<void> done;
    main_->loop().PostFromAnyThread([&] { main_->loop().Spawn(RemoveThenAdd(shard, done)); });
    done.get_future().wait();
  }
  static std::string Name(size_t shard) { return "disk" + std::to_string(shard); }

 private:
  static IoEngineKind Engine() { return TestedEngine(); }
  EventLoop& LoopOf(size_t shard) {
    return shard == 0 ? main_->loop() : threads_[shard - 1]->loop();
  }
  void AddExport(size_t shard) {
    Export added(Name(shard), *devices_[shard]);
    added.shard = shard;
    MICA_CHECK(server_->exports().Add(std::move(added)).has_value());
  }
  Task<void> RunServer() {
    co_await server_->Run();
    connections_at_end_ = server_->connections();
    ended_.set_value();
  }
  Task<void> RemoveThenAdd(size_t shard, std::promise<void>& done) {
    const Result<void> removed = co_await server_->Remove(Name(shard), std::chrono::seconds(0));
    EXPECT_TRUE(removed);
    AddExport(shard);
    done.set_value();
  }
  void Call(const std::function<void()>& call) {
    std::promise<void> done;
    main_->loop().PostFromAnyThread([&] {
      call();
      done.set_value();
    });
    done.get_future().wait();
  }

  MemoryLog log_;
  std::promise<void> ended_;
  size_t connections_at_end_ = 1;
  std::vector<std::unique_ptr<MemoryDevice>> devices_;
  std::unique_ptr<LoopThread> main_;
  std::vector<std::unique_ptr<LoopThread>> threads_;
  std::optional<Server> server_;
};

// Asks about one export on its way to another, so that the connection moves twice.
bool Enter(WireClient& client, size_t by, size_t to) {
  ClientScript script;
  script.Flags().Info(OptionCode::kInfo, ThreadedServer::Name(by)).Go(ThreadedServer::Name(to));
  if (!client.Send(script) || !client.Greeting()) return false;
  while (const auto reply = client.NextOptionReply()) {
    if (reply->option == OptionCode::kGo && reply->type == OptionReply::kAck) return true;
  }
  return false;
}

TEST(Threads, AConnectionMovesToTheLoopOfItsExport) {
  ThreadedServer server;
  for (size_t by = 0; by < kThreads; ++by) {
    for (size_t to = 0; to < kThreads; ++to) {
      WireClient client = server.Connect();
      ASSERT_TRUE(Enter(client, by, to));
      const std::vector<std::byte> data(4096, static_cast<std::byte>(by + 1));
      const Request write{.command = Command::kWrite, .cookie = 1, .range = {by * 4096, 4096}};
      EXPECT_EQ(client.Ask(write, data), WireError::kNone);
      client.Send(ClientScript().Request(
          {.command = Command::kRead, .cookie = 2, .range = {by * 4096, 4096}}));
      const auto reply = client.NextReply(4096);
      ASSERT_TRUE(reply);
      EXPECT_EQ(reply->payload, data);
    }
  }
}

// What one client does until it is disconnected: the number of requests that were answered.
size_t Load(WireClient& client, uint64_t base) {
  const std::vector<std::byte> data(16384, static_cast<std::byte>(base));
  size_t answered = 0;
  for (uint64_t cookie = 1;; ++cookie) {
    const uint64_t offset = base * (1u << 20) + cookie % 16 * data.size();
    const bool writes = cookie % 3 == 0;
    Request request{.command = writes ? Command::kWrite : Command::kFlush, .cookie = cookie};
    if (writes) request.range = {offset, data.size()};
    if (client.Ask(request, writes ? ConstBytes(data) : ConstBytes()) != WireError::kNone) break;
    ++answered;
  }
  return answered;
}

TEST(Threads, ExportsComeAndGoWhileOthersRunAndAStopDrainsAll) {
  std::atomic<size_t> answered = 0;
  std::atomic<bool> over = false;
  std::vector<std::thread> clients;
  {
    ThreadedServer server;
    std::atomic<size_t> entered = 0;
    for (size_t i = 0; i < 2 * kThreads; ++i) {
      clients.emplace_back([&, i] {
        // Comes back after it was sent away, until the server is over.
        while (!over) {
          WireClient client = server.Connect();
          if (!Enter(client, (i + 1) % kThreads, i % kThreads)) continue;
          ++entered;
          answered += Load(client, i);
        }
      });
    }
    while (entered < clients.size()) std::this_thread::yield();
    for (int round = 0; round < 10; ++round) {
      server.RemoveAndAdd(static_cast<size_t>(round) % kThreads);
    }
    over = true;
    server.Stop();
    for (std::thread& client : clients) client.join();
  }
  EXPECT_GT(answered, 0u);
}

TEST(Threads, ManyShortConnections) {
  ThreadedServer server;
  std::vector<std::thread> clients;
  for (size_t i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] {
      for (size_t round = 0; round < 200; ++round) {
        WireClient client = server.Connect();
        EXPECT_TRUE(Enter(client, round % kThreads, (round + i) % kThreads));
      }
    });
  }
  for (std::thread& client : clients) client.join();
}

}  // namespace
}  // namespace mica::nbd
