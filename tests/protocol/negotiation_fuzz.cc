// SPDX-License-Identifier: Apache-2.0
// The negotiation of a server that has everything: TLS, exports for some clients only, bitmaps. The
// first byte chooses the TLS mode (two bits) and how much the server receives at once (the rest).
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "nbd/testing/conversation.h"
#include "nbd/testing/memory_bitmaps.h"
#include "nbd/tls_credentials.h"

namespace mica::nbd {
namespace {

std::shared_ptr<const TlsCredentials> Keys() {
  std::string name = "/tmp/mica-fuzz-psk-XXXXXX";
  const int file = ::mkstemp(name.data());
  MICA_CHECK(file >= 0);
  std::ofstream(name) << "alice:00112233445566778899aabbccddeeff\n";
  Result<std::shared_ptr<TlsCredentials>> keys = TlsCredentials::FromPskFile(name);
  ::close(file);
  std::remove(name.c_str());
  MICA_CHECK(keys.has_value());
  return *keys;
}

ServerOptions OptionsFor(uint8_t choice) {
  static const std::shared_ptr<const TlsCredentials> keys = Keys();
  ServerOptions options;
  if (choice == 1) options.tls = {.mode = TlsMode::kAllow, .credentials = keys};
  if (choice == 2) options.tls = {.mode = TlsMode::kRequire, .credentials = keys};
  return options;
}

void Negotiate(ConstBytes input) {
  const auto choice = static_cast<uint8_t>(input.front());
  const size_t receive_max = choice >> 2 == 0 ? SIZE_MAX : choice >> 2;
  Conversation talk(OptionsFor(choice & 3));
  MemoryBitmaps bitmaps;
  bitmaps.dirty["b"] = {{0, 4096}, {65536, 512}};
  Export changing("changing", talk.device);
  changing.bitmaps = &bitmaps;
  MICA_CHECK(talk.exports.Add(changing).has_value());
  Export secret("secret", talk.device);
  secret.clients = {"psk:alice"};
  MICA_CHECK(talk.exports.Add(secret).has_value());
  ClientScript script;
  talk.Hold(script.Raw(input.subspan(1)), receive_max);
}

}  // namespace
}  // namespace mica::nbd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size != 0) mica::nbd::Negotiate(std::as_bytes(std::span(data, size)));
  return 0;
}
