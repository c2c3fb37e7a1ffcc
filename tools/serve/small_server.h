// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <list>
#include <string_view>
#include <vector>

#include "engine/async/async_mutex.h"
#include "nbd/event_log.h"
#include "nbd/listener.h"
#include "nbd/socket_stream.h"

namespace mica {

// Accepts a few short conversations beside the real work: the control socket and the metrics.
// One loop.
class SmallServer {
 public:
  // Holds one conversation; what happens to the stream afterwards is not its concern.
  using Handler = std::function<Task<void>(nbd::SocketStream&)>;

  SmallServer(EventLoop& loop, nbd::EventLog& log, Handler handler);
  SmallServer(const SmallServer&) = delete;
  SmallServer& operator=(const SmallServer&) = delete;
  // After Stop has completed, if Start was ever called.
  ~SmallServer();

  void Start(std::vector<nbd::Listener> listeners);
  // Accepts nothing more, ends the conversations, completes when none is left.
  Task<void> Stop();

  [[nodiscard]] std::list<nbd::Listener>& listeners() noexcept { return listeners_; }

 private:
  static constexpr size_t kConversationsMax = 32;  // more are closed at once

  Task<void> AcceptFrom(nbd::Listener& listener);
  void AcceptOne(nbd::Listener& listener, UniqueFd socket);
  Task<void> Hold(std::unique_ptr<nbd::SocketStream> stream);

  EventLoop& loop_;
  nbd::EventLog& log_;
  Handler handler_;
  std::list<nbd::Listener> listeners_;
  std::list<nbd::Stream*> streams_;
  size_t accepting_ = 0;
  bool stopping_ = false;
  WaitList changed_;
};

// A line, without its end, from `input`, which keeps what comes behind it. Nothing at the end of
// the stream; kLimit when it is longer than `bytes_max`.
Async<std::optional<std::string>> ReceiveLine(nbd::Stream& stream, std::string& input,
                                              size_t bytes_max);
Async<void> SendText(nbd::Stream& stream, std::string_view text);

}  // namespace mica
