// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/small_server.h"

#include <fmt/format.h>

#include <array>
#include <memory>
#include <span>

#include "engine/base/bytes.h"

namespace mica {

SmallServer::SmallServer(EventLoop& loop, nbd::EventLog& log, Handler handler)
    : loop_(loop), log_(log), handler_(std::move(handler)), changed_(loop) {}

SmallServer::~SmallServer() {
  MICA_CHECK(accepting_ == 0 && streams_.empty());
}

void SmallServer::Start(std::vector<nbd::Listener> listeners) {
  for (nbd::Listener& listener : listeners) {
    listeners_.push_back(std::move(listener));
    loop_.Spawn(AcceptFrom(listeners_.back()));
  }
}

Task<void> SmallServer::AcceptFrom(nbd::Listener& listener) {
  constexpr std::chrono::milliseconds kPause(100);
  ++accepting_;
  while (!stopping_) {
    const Result<void> ready = co_await loop_.WaitReady(listener.fd(), Readiness::kReadable);
    if (stopping_ || !ready) break;
    Result<std::optional<UniqueFd>> accepted = listener.Accept();
    if (accepted && *accepted) AcceptOne(listener, **std::move(accepted));
    if (!accepted) co_await loop_.SleepUntil(loop_.Now() + kPause);
  }
  --accepting_;
  changed_.NotifyAll();
}

void SmallServer::AcceptOne(nbd::Listener& listener, UniqueFd socket) {
  if (streams_.size() >= kConversationsMax) {
    log_.Write(nbd::Severity::kWarning, fmt::format("{}: {} connections already, one is refused",
                                                    listener.address(), streams_.size()));
    return;
  }
  loop_.Spawn(Hold(std::make_unique<nbd::SocketStream>(loop_, std::move(socket))));
}

Task<void> SmallServer::Hold(std::unique_ptr<nbd::SocketStream> stream) {
  const auto position = streams_.insert(streams_.end(), stream.get());
  co_await handler_(*stream);
  (void)co_await stream->Finish();
  streams_.erase(position);
  stream.reset();
  changed_.NotifyAll();
}

Task<void> SmallServer::Stop() {
  stopping_ = true;
  for (nbd::Listener& listener : listeners_) listener.Stop();
  for (nbd::Stream* const stream : streams_) stream->StopReceiving();
  while (accepting_ != 0 || !streams_.empty()) co_await changed_.Wait();
}

Async<std::optional<std::string>> ReceiveLine(nbd::Stream& stream, std::string& input,
                                              size_t bytes_max) {
  size_t looked_at = 0;
  for (;;) {
    const size_t end = input.find('\n', looked_at);
    if (end != std::string::npos && end <= bytes_max) {
      std::string line = input.substr(0, end);
      input.erase(0, end + 1);
      co_return std::optional(std::move(line));
    }
    looked_at = input.size();
    if (looked_at > bytes_max) {
      co_return Error{Errc::kLimit, fmt::format("a line of more than {} bytes", bytes_max)};
    }
    std::array<std::byte, 4096> buffer;
    CO_ASSIGN(const size_t count, co_await stream.Receive(buffer));
    if (count == 0) co_return std::optional<std::string>();
    input += AsText(ConstBytes(buffer).first(count));
  }
}

Async<void> SendText(nbd::Stream& stream, std::string_view text) {
  const ConstBytes part = AsBytes(text);
  co_return co_await stream.Send(std::span(&part, 1));
}

}  // namespace mica
