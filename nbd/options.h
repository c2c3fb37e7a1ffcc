// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/async/task.h"
#include "nbd/negotiation.h"

namespace mica::nbd {

enum class Next : uint8_t {
  kContinue,
  kEncrypt,  // start TLS, then start over
  kTransmit,
  kClose,
};

// What must have been agreed before an option is valid.
enum class Needs : uint8_t {
  kNothing,
  kStructuredReplies,  // or extended headers
  kCompactHeaders,     // no extended headers
};

// Where an option names an export: its handler runs on the loop of that export's shard.
enum class Names : uint8_t { kNothing, kWholePayload, kFirstText };

// How the client learns that an option failed.
enum class Failure : uint8_t {
  kReply,  // by an error reply; negotiation goes on
  kDrop,   // the option has no error reply: the connection is dropped
};

// One option of "Option types". The loop has applied every column before the handler runs; what the
// handler returns as an error drops the connection. The payload lives until the handler completes.
struct OptionRow {
  OptionCode code;
  std::string_view name;
  uint32_t payload_max;  // 0: must not carry data
  Needs needs;
  Failure failure;
  Names names;
  Async<Next> (*handle)(Negotiation& negotiation, ConstBytes payload);
};

// Null for an option this server does not know; it is answered with ERR_UNSUP.
const OptionRow* FindOption(OptionCode code) noexcept;

}  // namespace mica::nbd
