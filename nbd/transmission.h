// SPDX-License-Identifier: Apache-2.0
// The transmission phase of one connection ("Transmission phase"). One coroutine takes requests in
// the order they arrive (transmission.cc); each runs on its own (commands.cc) and its reply leaves
// when it is ready, so replies overtake each other.
#pragma once

#include <optional>

#include "nbd/in_flight_budget.h"
#include "nbd/receive_buffer.h"
#include "nbd/reply_sender.h"
#include "nbd/request_check.h"
#include "nbd/server_context.h"

namespace mica::nbd {

// Loop thread only. Everything given to the constructor outlives Run.
class Transmission {
 public:
  Transmission(const ServerContext& server, Stream& stream, ReceiveBuffer& input,
               const Agreement& agreement);

  // Serves requests until the client says goodbye, leaves or breaks the rules, or until a stop has
  // drained; then waits until no request runs and no reply is left to send. An error is the rule
  // that was broken, or the stream's.
  Async<void> Run();

  // New requests are answered with ESHUTDOWN from now on; as soon as the others are done and their
  // replies sent, Run ends.
  void BeginStop();

  // Takes no further request; as soon as the others are done and their replies sent, Run ends with
  // paused() and what is unread still in the input. False when the stream does not allow that.
  [[nodiscard]] bool Pause() noexcept;
  [[nodiscard]] bool paused() const noexcept { return paused_; }

  // Whether the client has left us waiting since before `moment`: to take replies, or to send the
  // rest of a write.
  [[nodiscard]] bool StalledSince(EventLoop::Time moment) const noexcept;

 private:
  // Why ServeAvailable stopped.
  enum class Needed : uint8_t {
    kHeader,   // a whole request header
    kBudget,   // room in the budget for current_
    kTurn,     // the next turn of the loop: the export has had its share of this one
    kPayload,  // the payload of current_, into payload_
    kSkip,     // the payload of current_, to be forgotten
    kNothing,  // no more requests will be served
  };
  static constexpr uint32_t kReceivesPerTurn = 16;        // then other connections get theirs
  static constexpr uint64_t kRequestCostBytes = 512;      // of the server's own memory
  static constexpr size_t kStatusExtentsMax = 32u << 10;  // of all contexts of a reply
  static constexpr uint64_t kStatusCostBytes = kStatusExtentsMax * 32;
  static constexpr uint64_t kCacheStepBytes = 256u << 10;
  static constexpr uint64_t kCacheBytesMax = 64u << 20;
  static constexpr uint32_t kLoggedFailuresMax = 16;

  Async<void> ReceiveRequests();
  Async<bool> ReceiveHeader();
  Async<bool> Satisfy(Needed needed);
  Async<bool> ReceivePayload();
  Needed ServeAvailable();
  std::optional<Needed> ServeCurrent();
  std::optional<Needed> TakePayload();
  void Dispatch(const Request& request);
  [[nodiscard]] static uint64_t Cost(const Request& request) noexcept;

  // commands.cc
  Task<void> ServeRead(Request request);
  Task<void> ServeWrite(Request request, PooledBuffer data);
  Task<void> ServeFlush(Request request);
  Task<void> ServeTrim(Request request);
  Task<void> ServeWriteZeroes(Request request);
  Task<void> ServeCache(Request request);
  Task<void> ServeBlockStatus(Request request, StatusQuery query);
  void DispatchBlockStatus(const Request& request);
  Async<void> ReadAhead(ByteRange range);

  // Ends a request that Dispatch has started.
  void Finish(const Request& request, const Result<void>& result);
  void Fail(const Request& request, const Error& error);
  void Refuse(const Request& request, const Refusal& refusal);
  // Sends what has been put into the sender's queue; the last message gives the cost back.
  void Commit(const Request& request);
  [[nodiscard]] CommandStats& StatsOf(const Request& request) noexcept;
  void LogFailure(const Request& request, const Error& error);
  void WhenNothingToSend();

  const ServerContext& server_;
  Stream& stream_;
  ReceiveBuffer& input_;
  const Agreement& agreement_;
  BlockDevice& device_;
  InFlightBudget budget_;
  ReplySender sender_;
  WaitList idle_;
  Request current_;
  PooledBuffer payload_;  // of current_
  size_t header_bytes_;   // of one request
  std::optional<Error> broken_rule_;
  uint32_t executing_ = 0;  // accepted requests that have no reply yet
  uint32_t logged_failures_ = 0;
  bool have_current_ = false;
  bool has_share_ = false;                        // current_ has its share of the turn
  bool has_budget_ = false;                       // current_ has its budget
  std::optional<EventLoop::Time> payload_since_;  // ReceivePayload waits
  bool stopping_ = false;
  bool pausing_ = false;
  bool paused_ = false;
  bool waits_for_header_ = false;
  bool ended_ = false;  // a stop has drained: nothing more is read
};

}  // namespace mica::nbd
