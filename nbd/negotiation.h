// SPDX-License-Identifier: Apache-2.0
// The handshake phase, fixed newstyle ("Handshake phase"). This file has the loop and the rules
// that hold for every option; options.cc has the options.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nbd/peer_identity.h"
#include "nbd/receive_buffer.h"
#include "nbd/request_check.h"
#include "nbd/server_context.h"
#include "nbd/stream.h"

namespace mica::nbd {

// A metadata context by name: between options its export may go away.
struct ChosenContext {
  std::string name;
  uint32_t id = 0;
};

// What the options of one client have achieved so far. STARTTLS makes all of it void but the first
// two.
struct NegotiationState {
  uint32_t client_flags = 0;
  PeerIdentity peer;
  ReplyStyle replies = ReplyStyle::kSimple;
  // The last SET_META_CONTEXT; it counts only if transmission starts on the same export name.
  std::string contexts_for;
  std::vector<ChosenContext> contexts;
  // How many exports the client has been told of: it may ask about each of them.
  size_t exports_listed = 0;
};

enum class Next : uint8_t;

class Negotiation {
 public:
  // An option with more payload ends the connection: nobody has a use for that much.
  static constexpr uint32_t kOptionPayloadMax = 64u << 10;

  // STARTTLS puts an encrypted stream around `stream`; `input` receives from it.
  Negotiation(const ServerContext& server, std::unique_ptr<Stream>& stream, ReceiveBuffer& input);

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
  // The exports of this shard that this client may use; Run has seen to it that what the option
  // names is one of them. RefuseExport is the error reply for all others.
  [[nodiscard]] std::shared_ptr<const Export> FindExport(std::string_view name) const;
  void RefuseExport(std::string_view name);
  [[nodiscard]] bool MayUse(const Export& target) const;
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
  // The transmission flags this client is told for `target`.
  [[nodiscard]] uint16_t FlagsFor(const Export& target, std::string_view name_from_client) const;
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
  Async<Next> Execute(ConstBytes payload);
  Async<void> Encrypt();
  [[nodiscard]] std::vector<SelectedContext> SelectedOf(const Export& target) const;
  // The export that the current option names, if it does. The whole option is in `payload`.
  [[nodiscard]] std::optional<std::string_view> NamedExport(ConstBytes payload) const;
  Task<void> WaitWhileAway(ConstBytes payload);
  // The shard that its handler has to run on, if not on this.
  [[nodiscard]] std::optional<size_t> OtherShard(ConstBytes payload) const;
  Async<void> Flush();

  const ServerContext* server_;
  std::unique_ptr<Stream>& stream_;
  ReceiveBuffer& input_;
  NegotiationState state_;
  OptionCode current_{};
  bool greeted_ = false;
  size_t options_ = 0;  // handled so far
  std::optional<size_t> wants_shard_;
  std::vector<std::byte> output_;
};

}  // namespace mica::nbd
