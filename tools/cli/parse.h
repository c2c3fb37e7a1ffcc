// SPDX-License-Identifier: Apache-2.0
// Words of the command line as values. All errors are kInvalidArgument and quote the word.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/parse_size.h"  // IWYU pragma: export
#include "engine/base/result.h"

namespace mica {

// "key=value,key=value"; later keys replace earlier ones, so that -o may be given again.
Result<void> ParseKeyValues(std::string_view text, std::map<std::string, std::string>& into);

struct HostPort {
  std::string host;  // empty: every address
  std::string port;
};

// "HOST:PORT", ":PORT" or "[IPv6]:PORT". Neither part is looked up.
Result<HostPort> ParseHostPort(std::string_view text);

struct VsockAddress {
  std::optional<uint32_t> cid;
  uint32_t port = 0;
};

// "PORT" or "CID:PORT", both decimal.
Result<VsockAddress> ParseVsock(std::string_view text);

}  // namespace mica
