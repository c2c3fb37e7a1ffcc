// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/config_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "nbd/event_log.h"

namespace mica {

namespace {

using nlohmann::json;

Result<ConfigValue> ValueOf(const json& value) {
  if (value.is_string()) return ConfigValue(value.get<std::string>());
  if (value.is_boolean()) return ConfigValue(value.get<bool>());
  if (value.is_number_unsigned()) {
    const uint64_t number = value.get<uint64_t>();
    if (number <= INT64_MAX) return ConfigValue(static_cast<int64_t>(number));
  }
  const auto is_text = [](const json& one) { return one.is_string(); };
  if (value.is_array() && std::ranges::all_of(value, is_text)) {
    return ConfigValue(value.get<std::vector<std::string>>());
  }
  return Error{Errc::kInvalidArgument,
               "expected text, a number from 0 on, true, false or a list of texts"};
}

}  // namespace

Result<ConfigFields> FieldsFromJson(const json& object) {
  if (!object.is_object()) return Error{Errc::kInvalidArgument, "expected a JSON object"};
  ConfigFields fields;
  for (const auto& [key, value] : object.items()) {
    Result<ConfigValue> one = ValueOf(value);
    if (!one) return std::move(one).error().WithContext(nbd::Quoted(key));
    fields.emplace(key, *std::move(one));
  }
  return fields;
}

json JsonFromFields(const ConfigFields& fields) {
  json object = json::object();
  for (const auto& [key, value] : fields) {
    std::visit([&](const auto& content) { object[key] = content; }, value);
  }
  return object;
}

Result<json> ParseJsonObject(std::string_view text) {
  // Deep nesting would overflow the stack of the destructor; nothing here is deep.
  constexpr int kDepthMax = 16;
  const auto not_too_deep = [](int depth, json::parse_event_t, json&) {
    return depth <= kDepthMax;
  };
  json parsed = json::parse(text, not_too_deep, /*allow_exceptions=*/false);
  if (!parsed.is_object()) return Error{Errc::kInvalidArgument, "expected one JSON object"};
  return parsed;
}

std::string JsonLine(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace mica
