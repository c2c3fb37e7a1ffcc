// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "tools/serve/serve_config.h"

namespace mica {

// A JSON object of text, numbers, booleans and lists of text; kInvalidArgument for anything else.
Result<ConfigFields> FieldsFromJson(const nlohmann::json& object);
nlohmann::json JsonFromFields(const ConfigFields& fields);

// One JSON object; kInvalidArgument for anything else. Never throws.
Result<nlohmann::json> ParseJsonObject(std::string_view text);
// On one line, without its end. What is not UTF-8 is replaced.
std::string JsonLine(const nlohmann::json& value);

}  // namespace mica
