// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "engine/layer.h"

namespace mica {

// 8-4-4-4-12 hexadecimal digits.
std::string UuidText(const Uuid& uuid);

// Any of the 2^128 values, from the kernel's random source.
Uuid RandomUuid();

// kInvalidArgument unless `text` is what UuidText makes.
Result<Uuid> ParseUuid(std::string_view text);

// "uuid … digest … size … bytes" or "no seal", for messages.
std::string IdentityText(const std::optional<LayerIdentity>& identity);

}  // namespace mica
