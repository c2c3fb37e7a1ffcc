// SPDX-License-Identifier: Apache-2.0
#include "nbd/transmission.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "nbd/nbd_errors.h"

namespace mica::nbd {

Transmission::Transmission(const ServerContext& server, Stream& stream, ReceiveBuffer& input,
                           const Agreement& agreement)
    : server_(server),
      stream_(stream),
      input_(input),
      agreement_(agreement),
      device_(*agreement.target->device),
      budget_(server.loop,
              {.bytes_max = server.options.limits.in_flight_bytes_max,
               .requests_max = server.options.limits.in_flight_requests_max},
              server.memory, *agreement.target.get()),
      sender_(server.loop, stream, budget_, [this] { WhenNothingToSend(); }),
      idle_(server.loop),
      header_bytes_(agreement.replies == ReplyStyle::kExtended ? kExtendedRequestBytes
                                                               : kRequestBytes) {}

Async<void> Transmission::Run() {
  const Result<void> received = co_await ReceiveRequests();
  const EventLoop::Time deadline = server_.loop.Now() + server_.options.limits.drain_timeout;
  const Timer give_up(server_.loop, deadline, [this] { stream_.Abort(); });
  while (executing_ != 0 || !sender_.idle()) co_await idle_.Wait();
  co_return received;
}

bool Transmission::StalledSince(EventLoop::Time moment) const noexcept {
  const std::optional<EventLoop::Time> sending = sender_.sending_since();
  return (sending && *sending < moment) || (payload_since_ && *payload_since_ < moment);
}

bool Transmission::Pause() noexcept {
  if (!waits_for_header_) {
    pausing_ = true;  // seen before the next request
  } else {
    pausing_ = stream_.InterruptReceive();
  }
  return pausing_;
}

void Transmission::BeginStop() {
  stopping_ = true;
  if (sender_.idle()) WhenNothingToSend();
}

void Transmission::WhenNothingToSend() {
  if (stopping_ && executing_ == 0 && !ended_) {
    ended_ = true;
    stream_.StopReceiving();
  }
  idle_.NotifyAll();
}

Async<void> Transmission::ReceiveRequests() {
  uint32_t receives = 0;
  for (;;) {
    sender_.Hold();
    const Needed needed = ServeAvailable();
    sender_.Release();
    if (needed == Needed::kNothing) break;
    CO_ASSIGN(const bool satisfied, co_await Satisfy(needed));
    if (!satisfied) break;
    if (++receives % kReceivesPerTurn == 0) co_await server_.loop.Yield();
  }
  if (broken_rule_) co_return *std::move(broken_rule_);
  co_return Result<void>();
}

Async<bool> Transmission::Satisfy(Needed needed) {
  switch (needed) {
    case Needed::kHeader:
      co_return co_await ReceiveHeader();
    case Needed::kBudget:
      // Sending has perhaps made room since.
      has_budget_ = budget_.TryTake(Cost(current_));
      if (!has_budget_) co_await budget_.WaitFor(Cost(current_));
      co_return true;
    case Needed::kTurn:
      co_await server_.loop.Yield();
      co_return true;
    case Needed::kPayload:
      co_return co_await ReceivePayload();
    case Needed::kSkip:
      co_return co_await input_.Skip(current_.payload_bytes);
    case Needed::kNothing:
      break;
  }
  co_return false;
}

Async<bool> Transmission::ReceiveHeader() {
  waits_for_header_ = true;
  Result<bool> received = co_await input_.Fill(header_bytes_);
  waits_for_header_ = false;
  if (!received && received.error().code == Errc::kCancelled) co_return true;  // by Pause
  co_return received;
}

Async<bool> Transmission::ReceivePayload() {
  // Counts as executing: a stop lets a write that has begun to arrive finish.
  ++executing_;
  payload_since_ = server_.loop.Now();
  const Bytes payload = payload_.first(current_.payload_bytes);
  Result<bool> received = co_await input_.Read(payload);
  --executing_;
  payload_since_.reset();
  if (received && *received) {
    sender_.Hold();  // until ServeAvailable has served what came behind the payload
    Dispatch(current_);
  } else {
    payload_ = PooledBuffer();
    budget_.Release(Cost(current_));
    if (sender_.idle()) WhenNothingToSend();
  }
  co_return received;
}

Transmission::Needed Transmission::ServeAvailable() {
  for (;;) {
    if (ended_) return Needed::kNothing;
    if (pausing_ && !have_current_) {
      paused_ = true;
      return Needed::kNothing;
    }
    if (!have_current_) {
      if (input_.available().size() < header_bytes_) return Needed::kHeader;
      const std::optional<Request> request = agreement_.replies == ReplyStyle::kExtended
                                                 ? DecodeExtendedRequest(input_.available())
                                                 : DecodeRequest(input_.available());
      if (!request) {
        broken_rule_ = Error{Errc::kInvalidArgument, "no request where one was expected"};
        return Needed::kNothing;
      }
      input_.Consume(header_bytes_);
      current_ = *request;
      current_.arrived = server_.loop.Now();
      have_current_ = true;
    }
    if (const std::optional<Needed> needed = ServeCurrent()) return *needed;
  }
}

std::optional<Transmission::Needed> Transmission::ServeCurrent() {
  if (current_.command == Command::kDisconnect) return Needed::kNothing;
  broken_rule_ = CheckPayload(current_);
  if (broken_rule_) return Needed::kNothing;
  const bool has_payload = current_.payload_bytes != 0;
  const uint64_t cost = Cost(current_);
  if (!has_share_ && !agreement_.target.get()->share.Take(server_.loop.turn(), cost)) {
    return Needed::kTurn;
  }
  has_share_ = true;
  if (!has_budget_ && !budget_.TryTake(cost)) return Needed::kBudget;
  has_budget_ = false;
  has_share_ = false;
  have_current_ = false;
  const std::optional<Refusal> refusal =
      stopping_ ? Refusal{WireError::kShutdown, WireErrorText(WireError::kShutdown)}
                : CheckRequest(current_, agreement_);
  if (refusal) {
    Refuse(current_, *refusal);
    return has_payload ? std::optional(Needed::kSkip) : std::nullopt;
  }
  if (has_payload) return TakePayload();
  Dispatch(current_);
  return std::nullopt;
}

std::optional<Transmission::Needed> Transmission::TakePayload() {
  payload_ = server_.buffers.Get(current_.payload_bytes);
  if (input_.available().size() < current_.payload_bytes) return Needed::kPayload;
  input_.Take(payload_.first(current_.payload_bytes));
  Dispatch(current_);
  return std::nullopt;
}

uint64_t Transmission::Cost(const Request& request) noexcept {
  switch (request.command) {
    case Command::kRead:
    case Command::kWrite:
      return kRequestCostBytes + std::min<uint64_t>(request.range.length, kPayloadBytesMax);
    case Command::kCache:
      return kRequestCostBytes + kCacheStepBytes;
    case Command::kBlockStatus:
      return kRequestCostBytes + kStatusCostBytes;
    default:
      return kRequestCostBytes;
  }
}

void Transmission::Dispatch(const Request& request) {
  ++executing_;
  EventLoop& loop = server_.loop;
  if (request.range.empty() && request.command != Command::kFlush &&
      request.command != Command::kRead) {
    return Finish(request, {});  // "unspecified": done at once
  }
  switch (request.command) {
    case Command::kRead:
      return loop.Spawn(ServeRead(request));
    case Command::kWrite:
      return loop.Spawn(ServeWrite(request, std::move(payload_)));
    case Command::kFlush:
      return loop.Spawn(ServeFlush(request));
    case Command::kTrim:
      return loop.Spawn(ServeTrim(request));
    case Command::kWriteZeroes:
      return loop.Spawn(ServeWriteZeroes(request));
    case Command::kCache:
      return loop.Spawn(ServeCache(request));
    case Command::kBlockStatus:
      return DispatchBlockStatus(request);
    case Command::kDisconnect:
      break;
  }
  MICA_CHECK(false);  // CheckRequest lets nothing else through
}

void Transmission::DispatchBlockStatus(const Request& request) {
  StatusQuery query{.length = request.range.length, .contexts = {}};
  if (request.payload_bytes == 0) {
    for (const SelectedContext& selected : agreement_.contexts) query.contexts.push_back(&selected);
  } else {
    PooledBuffer payload = std::move(payload_);
    std::optional<StatusQuery> asked =
        ReadStatusQuery(request, payload.first(request.payload_bytes), agreement_);
    if (!asked) {
      --executing_;
      return Refuse(request, {WireError::kInvalid, "the payload names no valid query"});
    }
    query = *std::move(asked);
  }
  server_.loop.Spawn(ServeBlockStatus(request, std::move(query)));
}

void Transmission::Finish(const Request& request, const Result<void>& result) {
  if (!result) return Fail(request, result.error());
  --executing_;
  StatsOf(request).bytes.Add(request.range.length);
  sender_.queue().push_back(MakeSuccess(agreement_.replies, request));
  Commit(request);
}

void Transmission::Fail(const Request& request, const Error& error) {
  --executing_;
  LogFailure(request, error);
  const WireError wire_error = ToWireError(error.code);
  Refuse(request, Refusal{wire_error, WireErrorText(wire_error)});
}

void Transmission::Refuse(const Request& request, const Refusal& refusal) {
  sender_.queue().push_back(MakeFailure(agreement_.replies, request, refusal.error, refusal.text));
  StatsOf(request).errors.Add(1);
  Commit(request);
}

CommandStats& Transmission::StatsOf(const Request& request) noexcept {
  return agreement_.target.get()->stats.of(request.command);
}

void Transmission::Commit(const Request& request) {
  CommandStats& stats = StatsOf(request);
  stats.requests.Add(1);
  stats.latency.Add(server_.loop.Now() - request.arrived);
  sender_.queue().back().cost_bytes = Cost(request);
  sender_.Commit();
}

void Transmission::LogFailure(const Request& request, const Error& error) {
  if (logged_failures_ == kLoggedFailuresMax) return;
  ++logged_failures_;
  const std::string message =
      fmt::format("{} at {} length {}: {}{}", CommandName(request.command), request.range.offset,
                  request.range.length, error.message,
                  logged_failures_ == kLoggedFailuresMax ? " (no more from this client)" : "");
  server_.log.Write(
      {.severity = Severity::kError, .message = message, .export_name = agreement_.target->name});
}

}  // namespace mica::nbd
