// SPDX-License-Identifier: Apache-2.0
// The handshake phase, fixed newstyle ("Handshake phase"). This file has the loop and the rules
// that hold for every option; options.cc has the options.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nbd/receive_buffer.h"
#include "nbd/request_check.h"
#include "nbd/server_context.h"
#include "nbd/stream.h"

namespace mica::nbd {

// What the options of one client have achieved so far.
struct NegotiationState {
  uint32_t client_flags = 0;
  ReplyStyle replies = ReplyStyle::kSimple;
  // The last SET_META_CONTEXT; it counts only if transmission starts on the same export name.
  std::string contexts_for;
  std::vector<SelectedContext> contexts;
  // How many exports the client has been told of: it may ask about each of them.
  size_t exports_listed = 0;
};

struct OptionRow;

class Negotiation {
 public:
  // An option with more payload ends the connection: nobody has a use for that much.
  static constexpr uint32_t kOptionPayloadMax = 64u << 10;

  Negotiation(const ServerContext& server, Stream& stream, ReceiveBuffer& input);

  // Completes when transmission may begin (with what was agreed), when the client has left in an
  // orderly way (with nothing), or when it has named an export of another shard: then wants_shard()
  // is set, and Run is called again after MoveTo. kInvalidArgument or kLimit when the peer broke
  // the rules so that the connection must be dropped; other errors are the stream's.
  Async<std::optional<Agreement>> Run();

  [[nodiscard]] std::optional<size_t> wants_shard() const noexcept { return wants_shard_; }
  // Goes on as part of another shard, on its thread.
  void MoveTo(const ServerContext& server) noexcept { server_ = &server; }

  // The rest is for the option handlers.
  [[nodiscard]] const ServerContext& server() const noexcept { return *server_; }
  [[nodiscard]] NegotiationState& state() noexcept { return state_; }
  // The exports of this shard; Run has seen to it that what the option names is one of them.
  [[nodiscard]] std::shared_ptr<const Export> Find(std::string_view name) const;
  Result<ExportLease> Acquire(std::string_view name) const;

  // Queue one reply to the option being handled.
  void Reply(OptionReply type, ConstBytes payload);
  void Acknowledge() { Reply(OptionReply::kAck, ConstBytes{}); }
  void Refuse(OptionReply error, std::string_view text) { Reply(error, AsBytes(text)); }
  // Queues bytes that are not an option reply.
  void Append(ConstBytes bytes) { output_.insert(output_.end(), bytes.begin(), bytes.end()); }
  // Sends what is queued when that is a lot; the loop sends the rest after the handler.
  Async<void> FlushIfLong();

  // What transmission on `target` would be like with the options so far.
  Agreement Agree(ExportLease target, std::string_view name_from_client);
  // The handler that answers Next::kTransmit has set this.
  std::optional<Agreement> agreement;

 private:
  static constexpr size_t kLongOutputBytes = 64u << 10;
  // nbdinfo --list asks for the contexts and the information of every export it was told of.
  static constexpr size_t kOptionsPerListedExport = 4;

  [[nodiscard]] size_t OptionsMax() const noexcept {
    return server_->options.limits.options_max + state_.exports_listed * kOptionsPerListedExport;
  }
  Async<bool> Greet();
  Async<bool> ReceiveClientFlags();
  Async<bool> HandleOption();  // false: leave the loop
  // The whole option is in `payload`. The shard that its handler has to run on, if not on this.
  [[nodiscard]] std::optional<size_t> OtherShard(const OptionRow* row, ConstBytes payload) const;
  Async<void> Flush();

  const ServerContext* server_;
  Stream& stream_;
  ReceiveBuffer& input_;
  NegotiationState state_;
  OptionCode current_{};
  bool greeted_ = false;
  size_t options_ = 0;  // handled so far
  std::optional<size_t> wants_shard_;
  std::vector<std::byte> output_;
};

}  // namespace mica::nbd
