// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "nbd/export_table.h"
#include "nbd/meta_context.h"
#include "nbd/reply.h"

namespace mica::nbd {

// What a connection agreed to: everything transmission needs to know about the negotiation.
struct Agreement {
  ExportLease target;
  ReplyStyle replies = ReplyStyle::kSimple;
  uint16_t flags = 0;  // "Transmission flags" as this client was told them
  std::vector<SelectedContext> contexts;
};

// The transmission flags of `target` for a client that takes replies in this style.
uint16_t TransmissionFlags(const Export& target, ReplyStyle replies) noexcept;

struct Refusal {
  WireError error = WireError::kInvalid;
  std::string_view text;  // a literal
};

// Whether more payload follows the header of `request` than the server is willing to receive: then
// the connection ends.
std::optional<Error> CheckPayload(const Request& request);

// Why `request` must not reach the device, if there is a reason: the command or one of its flags is
// unknown or was not offered to this very connection, the export is read-only, or the range does
// not lie inside it. A request that passes needs no further check, except that the range of a
// BLOCK_STATUS with payload is in that payload: ReadStatusQuery.
std::optional<Refusal> CheckRequest(const Request& request, const Agreement& agreement) noexcept;

// What a BLOCK_STATUS asks: everything about a range, or some of the selected contexts.
struct StatusQuery {
  uint64_t length = 0;
  std::vector<const SelectedContext*> contexts;  // of the agreement
};
// Takes the payload form of BLOCK_STATUS apart. Nothing when it is malformed, names a context that
// was not selected or one twice, or the range is not inside the export.
std::optional<StatusQuery> ReadStatusQuery(const Request& request, ConstBytes payload,
                                           const Agreement& agreement);

}  // namespace mica::nbd
