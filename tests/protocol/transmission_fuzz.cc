// SPDX-License-Identifier: Apache-2.0
// A client in transmission, where the session target gets only with luck. The first byte chooses
// the replies (two bits), whether the export is read-only, and how much the server receives at
// once. Whatever the client sends, the answer is made of whole chunks.
#include <cstddef>
#include <cstdint>

#include "nbd/testing/conversation.h"
#include "nbd/testing/memory_bitmaps.h"

namespace mica::nbd {
namespace {

constexpr uint64_t kDiskBytes = (1u << 20) + 512;

ClientScript UntilTransmission(ReplyStyle style) {
  ClientScript script;
  script.Flags();
  if (style == ReplyStyle::kStructured) script.Option(OptionCode::kStructuredReply);
  if (style == ReplyStyle::kExtended) script.Option(OptionCode::kExtendedHeaders);
  if (style != ReplyStyle::kSimple) {
    script.MetaContext(OptionCode::kSetMetaContext, "fuzzed",
                       {"base:allocation", "qemu:dirty-bitmap:b"});
  }
  return script.Go("fuzzed");
}

void Transmit(ConstBytes input) {
  const auto choice = static_cast<uint8_t>(input.front());
  const auto style = static_cast<ReplyStyle>(choice % 4 % 3);
  const size_t receive_max = choice >> 3 == 0 ? SIZE_MAX : choice >> 3;
  Conversation talk({}, {.size = kDiskBytes, .read_only = (choice & 4) != 0});
  MemoryBitmaps bitmaps;
  bitmaps.dirty["b"] = {{0, 4096}, {65536, 512}};
  Export fuzzed("fuzzed", talk.device);
  fuzzed.bitmaps = &bitmaps;
  MICA_CHECK(talk.exports.Add(fuzzed).has_value());
  ClientScript script = UntilTransmission(style);
  ServerScript answer = talk.Answers(script.Raw(input.subspan(1)), receive_max);
  MICA_CHECK(answer.Greeting());
  for (;;) {
    const auto reply = answer.NextOptionReply();
    MICA_CHECK(reply.has_value());
    if (reply->option == OptionCode::kGo && reply->type == OptionReply::kAck) break;
  }
  if (style == ReplyStyle::kSimple) return;  // only who knows the requests can tell replies apart
  while (answer.NextReply()) continue;
  MICA_CHECK(answer.empty());
}

}  // namespace
}  // namespace mica::nbd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size != 0) mica::nbd::Transmit(std::as_bytes(std::span(data, size)));
  return 0;
}
