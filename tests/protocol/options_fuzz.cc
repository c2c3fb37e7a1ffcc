// SPDX-License-Identifier: Apache-2.0
// The parsers of the options' data. The input is a list of options: one byte of code, two of
// length, the data; the framing is always right. Every option gets its replies and one that ends
// them, in turn, until one of them ends the negotiation.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "nbd/testing/conversation.h"
#include "nbd/testing/memory_bitmaps.h"

namespace mica::nbd {
namespace {

constexpr size_t kPrefixBytes = 3;
constexpr uint32_t kCodes = 14;  // all that exist and two that do not

bool IsLast(OptionReply type) {
  constexpr uint32_t kErrorBit = 1u << 31;
  return type == OptionReply::kAck || (std::to_underlying(type) & kErrorBit) != 0;
}

// False when the negotiation has ended with this option.
bool TakeAnswer(ServerScript& answer, OptionCode code) {
  if (code == OptionCode::kExportName) return false;  // answered in its own way, or not at all
  for (;;) {
    const auto reply = answer.NextOptionReply();
    MICA_CHECK(reply.has_value());
    MICA_CHECK(reply->option == code);
    if (!IsLast(reply->type)) continue;
    const bool ends = code == OptionCode::kAbort || code == OptionCode::kGo;
    return !(ends && reply->type == OptionReply::kAck);
  }
}

void Negotiate(ConstBytes input) {
  Conversation talk;
  MemoryBitmaps bitmaps;
  bitmaps.dirty["b"] = {{0, 4096}};
  Export changing("changing", talk.device);
  changing.description = "with a bitmap";
  changing.bitmaps = &bitmaps;
  MICA_CHECK(talk.exports.Add(changing).has_value());
  ClientScript script;
  script.Flags();
  std::vector<OptionCode> sent;
  while (input.size() >= kPrefixBytes && sent.size() < talk.options.limits.options_max) {
    const OptionCode code{std::to_integer<uint32_t>(input.front()) % kCodes};
    const size_t length = std::min<size_t>(LoadBe<uint16_t>(input, 1), input.size() - kPrefixBytes);
    script.Option(code, input.subspan(kPrefixBytes, length));
    sent.push_back(code);
    input = input.subspan(kPrefixBytes + length);
  }
  ServerScript answer = talk.Answers(script);
  MICA_CHECK(answer.Greeting());
  for (const OptionCode code : sent) {
    if (!TakeAnswer(answer, code)) return;
  }
  MICA_CHECK(answer.empty());
}

}  // namespace
}  // namespace mica::nbd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  mica::nbd::Negotiate(std::as_bytes(std::span(data, size)));
  return 0;
}
