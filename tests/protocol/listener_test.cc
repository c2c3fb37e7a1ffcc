// SPDX-License-Identifier: Apache-2.0
#include "nbd/listener.h"

#include <gtest/gtest.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "nbd/listen_patiently.h"
#include "tests/protocol/test_server.h"

namespace mica::nbd {
namespace {

class Directory {
 public:
  Directory() {
    std::string name = testing::TempDir() + "mica-listener-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

UniqueFd ConnectUnix(const std::filesystem::path& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const auto* const generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  if (::connect(socket.get(), generic, sizeof address) != 0) socket.Close();
  return socket;
}

UniqueFd ConnectTcp(const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(host.c_str(), address.substr(colon + 1).c_str(), &hints, &list) != 0) {
    return UniqueFd();
  }
  UniqueFd socket(::socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(socket.get(), list->ai_addr, list->ai_addrlen) != 0) socket.Close();
  ::freeaddrinfo(list);
  return socket;
}

TEST(Listener, UnixSocketsHaveTheirModeAndLeaveNoNameBehind) {
  const Directory directory;
  const auto path = directory / "s";
  {
    const Result<Listener> listener = Listener::OnUnixSocket(path, 0660);
    ASSERT_TRUE(listener) << listener.error().message;
    struct stat status{};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0660u);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Listener, AStaleSocketIsReplacedALiveOneIsNot) {
  const Directory directory;
  const auto path = directory / "s";
  {
    Result<Listener> first = Listener::OnUnixSocket(path);
    ASSERT_TRUE(first);
    EXPECT_EQ(Listener::OnUnixSocket(path).error().code, Errc::kBusy);
  }
  const UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
  {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    const auto* const generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
    ASSERT_EQ(::bind(dead.get(), generic, sizeof address), 0);  // and nobody listens
  }
  EXPECT_TRUE(Listener::OnUnixSocket(path));
}

TEST(Listener, OtherFilesAndLongPathsAreRefusedClearly) {
  const Directory directory;
  const auto path = directory / "file";
  std::ofstream(path) << "precious";
  EXPECT_EQ(Listener::OnUnixSocket(path).error().code, Errc::kExists);
  EXPECT_TRUE(std::filesystem::exists(path));
  const auto longer = directory / std::string(200, 'x').c_str();
  EXPECT_EQ(Listener::OnUnixSocket(longer).error().code, Errc::kInvalidArgument);
  EXPECT_EQ(Listener::OnUnixSocket(directory / "none/s").error().code, Errc::kNotFound);
}

TEST(Listener, ANameThatWasTakenOverIsNotRemoved) {
  const Directory directory;
  const auto path = directory / "s";
  {
    const Result<Listener> listener = Listener::OnUnixSocket(path);
    ASSERT_TRUE(listener);
    std::filesystem::remove(path);
    std::ofstream(path) << "somebody else's";
  }
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(Listener, VsockWhereTheKernelHasIt) {
  Result<Listener> vsock = Listener::OnVsock(Listener::kAnyCid, Listener::kAnyPort);
  if (!vsock && vsock.error().code == Errc::kUnsupported) GTEST_SKIP() << vsock.error().message;
  ASSERT_TRUE(vsock) << vsock.error().message;
  EXPECT_TRUE(vsock->address().starts_with("2:")) << vsock->address();
  EXPECT_EQ(vsock->Uri("vm"), "nbd+vsock://" + vsock->address() + "/vm");
  const uint32_t port = static_cast<uint32_t>(std::stoul(vsock->address().substr(2)));
  EXPECT_FALSE(Listener::OnVsock(Listener::kAnyCid, port));  // taken
  UniqueFd copy(::dup(vsock->fd()));
  EXPECT_TRUE(Listener::Adopt(std::move(copy)));
}

TEST(Listener, UrisOfEncryptedServers) {
  const Directory directory;
  const Result<Listener> listener = Listener::OnUnixSocket(directory / "s");
  ASSERT_TRUE(listener);
  EXPECT_TRUE(listener->Uri("x", UriSecurity::kTls).starts_with("nbds+unix:///x?socket="));
}

TEST(Listener, UrisAreWhatClientsTake) {
  const Directory directory;
  const Result<Listener> unix_socket = Listener::OnUnixSocket(directory / "s p");
  ASSERT_TRUE(unix_socket);
  EXPECT_TRUE(unix_socket->Uri("vm 1/a?").starts_with("nbd+unix:///vm%201/a%3F?socket=/"));
  EXPECT_TRUE(unix_socket->Uri("").ends_with("s%20p"));
  const Result<std::vector<Listener>> tcp = Listener::OnTcp("127.0.0.1", "0");
  ASSERT_TRUE(tcp) << tcp.error().message;
  EXPECT_EQ(tcp->front().Uri("x"), "nbd://" + tcp->front().address() + "/x");
}

TEST(Listener, BadTcpAddressesAreRefused) {
  EXPECT_FALSE(Listener::OnTcp("127.0.0.1", "no such service"));
  EXPECT_FALSE(Listener::OnTcp("no such host!", "10809"));
  const Result<std::vector<Listener>> first = Listener::OnTcp("127.0.0.1", "0");
  ASSERT_TRUE(first);
  const std::string address = first->front().address();
  EXPECT_FALSE(Listener::OnTcp("127.0.0.1", address.substr(address.rfind(':') + 1)));
}

// As after a kill -9: the kernel lets go of the old process's sockets a little later.
TEST(Listener, AnAddressThatBecomesFreeSoonIsWaitedFor) {
  const Directory directory;
  MemoryLoop loop;
  std::optional<Listener> old(*Listener::OnUnixSocket(directory / "s"));
  old->DisownPath();  // a killed process leaves its name behind
  const EventLoop::Time soon = loop.Now() + kListenPatience / 2;
  const Timer release(loop, soon, [&old] { old.reset(); });
  const std::function<Result<Listener>()> listen = [&] {
    return Listener::OnUnixSocket(directory / "s");
  };
  EXPECT_TRUE(SyncWait(loop, ListenPatiently(loop, listen)));
  EXPECT_GE(loop.Now(), soon);
}

TEST(Listener, AnAddressThatStaysInUseIsAnError) {
  MemoryLoop loop;
  const Result<std::vector<Listener>> other = Listener::OnTcp("127.0.0.1", "0");
  ASSERT_TRUE(other);
  const std::string address = other->front().address();
  const std::string port = address.substr(address.rfind(':') + 1);
  using Listeners = std::vector<Listener>;
  const std::function<Result<Listeners>()> listen = [&] {
    return Listener::OnTcp("127.0.0.1", port);
  };
  EXPECT_EQ(SyncWait(loop, ListenPatiently(loop, listen)).error().sys_errno, EADDRINUSE);
  EXPECT_GE(loop.Now(), kListenPatience);
  const std::function<Result<Listeners>()> wrong = [] { return Listener::OnTcp("no host!", "1"); };
  const EventLoop::Time before = loop.Now();
  EXPECT_FALSE(SyncWait(loop, ListenPatiently(loop, wrong)));
  EXPECT_EQ(loop.Now(), before);
}

TEST(Listener, AServerListensEverywhereAtOnce) {
  const Directory directory;
  ServerOptions options;
  options.limits.connections_max = 3;
  MemoryLog log;
  Result<std::unique_ptr<Runtime>> runtime = MakePosixRuntime(TestedEngine());
  ASSERT_TRUE(runtime);
  EventLoop& loop = (*runtime)->loop();
  MemoryDevice device(loop, {.size = 1u << 20});
  Server server(loop, options, log);
  ASSERT_TRUE(server.exports().Add(Export("disk", device)));

  Result<Listener> unix_socket = Listener::OnUnixSocket(directory / "s");
  ASSERT_TRUE(unix_socket);
  server.Listen(*std::move(unix_socket));
  std::vector<std::string> addresses;
  for (const char* const host : {"127.0.0.1", "::1"}) {
    Result<std::vector<Listener>> tcp = Listener::OnTcp(host, "0");
    if (!tcp && std::string(host) == "::1") continue;  // a machine without IPv6
    ASSERT_TRUE(tcp) << tcp.error().message;
    for (Listener& listener : *tcp) {
      addresses.push_back(listener.address());
      server.Listen(std::move(listener));
    }
  }

  std::thread clients([&] {
    std::vector<WireClient> connected;
    connected.emplace_back(ConnectUnix(directory / "s"));
    for (const std::string& address : addresses) connected.emplace_back(ConnectTcp(address));
    for (WireClient& client : connected) {
      client.Send(ClientScript().Flags().Go("disk"));
      EXPECT_TRUE(client.Greeting());
      EXPECT_EQ(client.NextOptionReply()->type, OptionReply::kInfo);
      EXPECT_EQ(client.NextOptionReply()->type, OptionReply::kAck);
      EXPECT_EQ(client.Ask({.command = Command::kRead, .cookie = 1, .range = {0, 4096}}),
                WireError::kNone);
    }
    while (connected.size() < 3) connected.emplace_back(ConnectUnix(directory / "s"));
    EXPECT_TRUE(connected.back().fd() >= 0);
    const bool fresh = addresses.size() < 2;
    EXPECT_TRUE(!fresh || connected.back().Greeting());
    WireClient one_too_many(ConnectUnix(directory / "s"));
    EXPECT_TRUE(one_too_many.AtEnd());
    loop.PostFromAnyThread([&] { server.Stop(); });
    for (WireClient& client : connected) EXPECT_TRUE(client.AtEnd());
  });
  SyncWait(loop, server.Run());
  clients.join();
  EXPECT_FALSE(std::filesystem::exists(directory / "s"));
  EXPECT_TRUE(log.Mentions("refused: 3 connections already"));
}

}  // namespace
}  // namespace mica::nbd
