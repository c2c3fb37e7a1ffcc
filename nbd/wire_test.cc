// SPDX-License-Identifier: Apache-2.0
#include "nbd/wire.h"

#include <gtest/gtest.h>

#include <array>
#include <vector>

#include "nbd/nbd_errors.h"
#include "nbd/payload_reader.h"

namespace mica::nbd {
namespace {

TEST(Wire, RequestsSurviveTheRoundTrip) {
  const Request request{.flags = 0x8001,
                        .command = Command{0xfffe},
                        .cookie = 0x0123456789abcdef,
                        .range = {UINT64_MAX, UINT32_MAX}};
  std::array<std::byte, kRequestBytes> bytes;
  EncodeRequest(bytes, request);
  EXPECT_EQ(bytes[0], std::byte{0x25});  // big-endian
  const auto decoded = DecodeRequest(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->flags, request.flags);
  EXPECT_EQ(decoded->command, request.command);
  EXPECT_EQ(decoded->cookie, request.cookie);
  EXPECT_EQ(decoded->range, request.range);
  bytes[3] = std::byte{0};
  EXPECT_FALSE(DecodeRequest(bytes));
}

TEST(Wire, ExtendedRequestsHave64BitLengths) {
  const Request request{.flags = kCommandPayloadLen,
                        .command = Command::kBlockStatus,
                        .cookie = 7,
                        .range = {1, UINT64_MAX}};
  std::array<std::byte, kExtendedRequestBytes> bytes;
  EncodeExtendedRequest(bytes, request);
  const auto decoded = DecodeExtendedRequest(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->range, request.range);
  EXPECT_EQ(decoded->payload_bytes, UINT64_MAX);
  EXPECT_FALSE(DecodeRequest(bytes));
}

TEST(Wire, OptionHeadersSurviveTheRoundTrip) {
  std::array<std::byte, kOptionHeaderBytes> bytes;
  EncodeOptionHeader(bytes, OptionCode::kGo, 77);
  const auto decoded = DecodeOptionHeader(bytes);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->code, OptionCode::kGo);
  EXPECT_EQ(decoded->payload_bytes, 77u);
  bytes[7] ^= std::byte{1};
  EXPECT_FALSE(DecodeOptionHeader(bytes));
}

TEST(Wire, GreetingIsWhatEveryClientExpects) {
  std::array<std::byte, kGreetingBytes> bytes;
  EncodeGreeting(bytes, 3);
  EXPECT_EQ(AsText(bytes).substr(0, 16), "NBDMAGICIHAVEOPT");
}

TEST(PayloadReader, ComparesBeforeItSubtracts) {
  const std::array bytes = {std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff},
                            std::byte{'x'}};
  PayloadReader reader(bytes);
  EXPECT_FALSE(reader.Text());  // claims 4 GiB - 1 bytes
  PayloadReader empty{ConstBytes{}};
  EXPECT_FALSE(empty.Number<uint16_t>());
  EXPECT_TRUE(empty.empty());
}

TEST(NbdErrors, OnlyProtocolValuesLeave) {
  for (uint8_t code = 0; code <= static_cast<uint8_t>(Errc::kCancelled); ++code) {
    const WireError error = ToWireError(Errc{code});
    EXPECT_NE(error, WireError::kNone);
    EXPECT_NE(error, WireError::kNotSupported);  // reserved for fast zero
    EXPECT_FALSE(WireErrorText(error).empty());
  }
  EXPECT_EQ(ToWireError(Errc::kNoSpace), WireError::kNoSpace);
  EXPECT_EQ(ToWireError(Errc::kReadOnly), WireError::kPerm);
  EXPECT_EQ(ToWireError(Errc::kCancelled), WireError::kShutdown);
}

}  // namespace
}  // namespace mica::nbd
