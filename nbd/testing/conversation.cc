// SPDX-License-Identifier: Apache-2.0
#include "nbd/testing/conversation.h"

#include <algorithm>
#include <utility>

#include "engine/async/sync_wait.h"
#include "nbd/session.h"
#include "nbd/testing/memory_stream.h"

namespace mica::nbd {

namespace {

constexpr size_t kPipeBytes = 1u << 20;

Task<void> SendAll(Stream& stream, ConstBytes bytes) {
  const Result<void> sent = co_await stream.Send(std::span(&bytes, 1));
  if (!sent) co_return;  // the server may drop us at any time
  (void)co_await stream.Finish();
}

struct Received {
  std::vector<std::byte> bytes;
  bool complete = false;
};

Task<void> ReceiveAll(Stream& stream, Received& received) {
  std::vector<std::byte> buffer(64u << 10);
  for (;;) {
    const Result<size_t> count = co_await stream.Receive(buffer);
    if (!count || *count == 0) break;
    received.bytes.insert(received.bytes.end(), buffer.begin(),
                          buffer.begin() + static_cast<std::ptrdiff_t>(*count));
  }
  received.complete = true;
}

}  // namespace

bool MemoryLog::Mentions(std::string_view text) const {
  return std::ranges::any_of(
      lines, [&](const std::string& line) { return line.find(text) != std::string::npos; });
}

Conversation::Conversation(const ServerOptions& server_options, const DeviceInfo& info)
    : options(server_options), device(loop, info) {
  MICA_CHECK(exports.Add(Export("disk", device)).has_value());
}

std::vector<std::byte> Conversation::Hold(const ClientScript& script, size_t receive_max) {
  auto [client, server] = MemoryStream::MakePair(loop, kPipeBytes, receive_max);
  Session session(context, std::move(server), "test client");
  Received received;
  loop.Spawn(SendAll(*client, script.bytes()));
  loop.Spawn(ReceiveAll(*client, received));
  SyncWait(loop, session.Run());
  loop.RunUntil([&received] { return received.complete; });
  client->Abort();
  loop.RunUntil([this] { return loop.spawned_tasks() == 0; });
  return std::move(received.bytes);
}

}  // namespace mica::nbd
