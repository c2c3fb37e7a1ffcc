// SPDX-License-Identifier: Apache-2.0
// Values as people read them.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>

namespace mica {

// "512 B", "4 KiB", "1.50 GiB": three digits at most where it is not exact.
std::string FormatBytes(uint64_t bytes);
// "10 GiB (10737418240 bytes)".
std::string FormatBytesExactly(uint64_t bytes);
// "0:07", "12:34", "3:00:00".
std::string FormatDuration(std::chrono::seconds duration);
// Lower-case hexadecimal.
// "2026-11-22 10:44:53", in UTC.
std::string FormatTime(uint64_t seconds_since_1970);
std::string FormatHex(std::span<const uint8_t> bytes);

}  // namespace mica
