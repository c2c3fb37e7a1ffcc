// SPDX-License-Identifier: Apache-2.0
// Replies of the transmission phase: "Simple reply message" and "Structured reply chunk message".
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "nbd/buffer_pool.h"
#include "nbd/wire.h"

namespace mica::nbd {

// One message on its way out: `head` (inline), then `body`, which points into `buffer`, `owned` or
// static memory.
struct Reply {
  static constexpr size_t kHeadBytesMax = 48;

  std::array<std::byte, kHeadBytesMax> head;
  size_t head_bytes = 0;
  ConstBytes body;
  PooledBuffer buffer;
  std::vector<std::byte> owned;
  bool ends_request = true;  // the last message of its request:
  uint64_t cost_bytes = 0;   // then this much goes back to the connection's budget
};

// One descriptor of a block status reply.
struct MetaExtent {
  uint64_t length = 0;
  uint32_t flags = 0;
  friend bool operator==(const MetaExtent&, const MetaExtent&) = default;
};

// What one metadata context says about a range.
struct MetaAnswer {
  uint32_t context_id = 0;
  std::vector<MetaExtent> extents;
};

// Reads at least this long are searched for zeroes (never with simple replies or DF)…
inline constexpr size_t kHoleSearchBytesMin = 64u << 10;
// …in steps of this size: a shorter hole does not pay for its two extra chunks.
inline constexpr size_t kHoleStepBytes = 32u << 10;

// Success without content. Never for READ or BLOCK_STATUS.
Reply MakeSuccess(ReplyStyle style, const Request& request);

// Failure, in the form the request's command needs in this style. `text` is for people, cut to
// kStringBytesMax, and lives for ever (a literal).
Reply MakeFailure(ReplyStyle style, const Request& request, WireError error, std::string_view text);

// Appends the content of a successful READ: `data` holds request.range.length bytes. Stretches of
// zeroes become hole chunks where the client can take them.
void AppendData(ReplyStyle style, const Request& request, PooledBuffer data,
                std::vector<Reply>& replies);

// The reply of one metadata context to BLOCK_STATUS; `extents` is not empty and, without extended
// headers, each length fits 32 bits. `position`: whether another context follows.
enum class ChunkPosition : uint8_t { kMoreFollow, kLast };
Reply MakeStatus(ReplyStyle style, const Request& request, const MetaAnswer& answer,
                 ChunkPosition position);

}  // namespace mica::nbd
