// SPDX-License-Identifier: Apache-2.0
// A whole session, negotiation and transmission, fed with arbitrary bytes over a disk in memory.
// The first byte chooses how much the server receives at once.
#include <cstddef>
#include <cstdint>

#include "nbd/testing/conversation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica;  // NOLINT(google-build-using-namespace): the entry point is global
  if (size == 0) return 0;
  const ConstBytes bytes = std::as_bytes(std::span(data, size));
  const size_t receive_max = data[0] == 0 ? SIZE_MAX : data[0];
  nbd::Conversation talk;
  nbd::ClientScript script;
  talk.Hold(script.Raw(bytes.subspan(1)), receive_max);
  return 0;
}
