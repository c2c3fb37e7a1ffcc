// SPDX-License-Identifier: Apache-2.0
// A client that costs as little as possible, to find out what a server can do on one connection:
// keeps DEPTH random 4 KiB reads in flight over simple replies and looks at nothing but their
// number.
//
//   bench_nbd_load SOCKET DEPTH READS
//
// Works with every NBD server that has a default export of at least 64 MiB and answers all reads.
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "engine/base/prng.h"
#include "engine/base/unique_fd.h"
#include "nbd/testing/transcript.h"

namespace mica::nbd {
namespace {

constexpr uint64_t kReadBytes = 4096;
constexpr uint64_t kBlocks = (64u << 20) / kReadBytes;
constexpr size_t kReplyBytes = kSimpleReplyBytes + kReadBytes;
constexpr size_t kNegotiationBytes = kGreetingBytes + 10;

bool SendAll(int socket, ConstBytes bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return true;
}

UniqueFd Connect(const char* path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  const auto* const generic = static_cast<const sockaddr*>(static_cast<const void*>(&address));
  if (::connect(socket.get(), generic, sizeof address) != 0) socket.Close();
  return socket;
}

// The number of reads answered; fewer than asked for when the server went away.
uint64_t Load(int socket, uint64_t depth, uint64_t reads) {
  std::vector<std::byte> received(depth * kReplyBytes);
  std::vector<std::byte> requests(depth * kRequestBytes);
  Prng prng(1);
  uint64_t sent = 0;
  uint64_t answered = 0;
  size_t have = 0;  // bytes of replies received, less the whole ones
  while (answered < reads) {
    size_t end = 0;
    for (; sent < answered + depth; ++sent, end += kRequestBytes) {
      EncodeRequest(Bytes(requests).subspan(end),
                    {.cookie = sent, .range = {prng.Below(kBlocks) * kReadBytes, kReadBytes}});
    }
    if (!SendAll(socket, ConstBytes(requests).first(end))) break;
    const ssize_t count = ::recv(socket, received.data(), received.size(), 0);
    if (count <= 0) break;
    have += static_cast<size_t>(count);
    answered += have / kReplyBytes;
    have %= kReplyBytes;
  }
  return answered;
}

int Main(const char* path, uint64_t depth, uint64_t reads) {
  const UniqueFd socket = Connect(path);
  std::vector<std::byte> greeting(kNegotiationBytes);
  if (!socket || !SendAll(socket.get(), ClientScript().Flags().ExportName("").bytes()) ||
      ::recv(socket.get(), greeting.data(), greeting.size(), MSG_WAITALL) !=
          static_cast<ssize_t>(greeting.size())) {
    fmt::print(stderr, "{}: no NBD server with a default export\n", path);
    return 1;
  }
  const auto start = std::chrono::steady_clock::now();
  const uint64_t answered = Load(socket.get(), depth, reads);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  fmt::print("depth {}: {} reads, {:.0f} reads/s\n", depth, answered,
             static_cast<double>(answered) / seconds.count());
  return answered >= reads ? 0 : 1;
}

}  // namespace
}  // namespace mica::nbd

int main(int argc, char** argv) {
  if (argc != 4) {
    fmt::print(stderr, "usage: bench_nbd_load SOCKET DEPTH READS\n");
    return 2;
  }
  return mica::nbd::Main(argv[1], std::max(1ull, std::strtoull(argv[2], nullptr, 10)),
                         std::strtoull(argv[3], nullptr, 10));
}
