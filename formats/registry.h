// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string_view>

#include "formats/format.h"

namespace mica {

// All formats this build knows, in order of probing.
std::span<const ImageFormat* const> AllFormats() noexcept;

// kUnsupported, naming the known formats, when there is none of that name.
Result<const ImageFormat*> FindFormat(std::string_view name);

// The format of the file at `path` by its first bytes; "raw" when no other format claims it.
// kNotFound and host errors.
Async<const ImageFormat*> ProbeFormat(Host& host, const std::filesystem::path& path);

}  // namespace mica
