// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <fstream>
#include <set>

#include "nbd/event_log.h"
#include "tools/serve/serve_config.h"

namespace mica {

namespace {

Error At(const toml::node& node, std::string_view what) {
  return Error{Errc::kInvalidArgument, fmt::format("line {}: {}", node.source().begin.line, what)};
}

Result<std::vector<std::string>> Texts(const toml::array& list) {
  std::vector<std::string> texts;
  for (const toml::node& node : list) {
    const toml::value<std::string>* const text = node.as_string();
    if (text == nullptr) return At(node, "expected text in quotation marks");
    texts.push_back(text->get());
  }
  return texts;
}

Result<ConfigValue> ValueOf(const toml::node& node) {
  if (const auto* const text = node.as_string()) return ConfigValue(text->get());
  if (const auto* const number = node.as_integer()) return ConfigValue(number->get());
  if (const auto* const flag = node.as_boolean()) return ConfigValue(flag->get());
  if (const auto* const list = node.as_array()) {
    ASSIGN(std::vector<std::string> texts, Texts(*list));
    return ConfigValue(std::move(texts));
  }
  return At(node, "expected text, a number, true, false or a list of texts");
}

// All entries of `table` but those in `without`.
Result<ConfigFields> FieldsIn(const toml::table& table, const std::set<std::string_view>& without) {
  ConfigFields fields;
  for (const auto& [key, node] : table) {
    if (without.contains(key.str())) continue;
    Result<ConfigValue> value = ValueOf(node);
    if (!value) return std::move(value).error().WithContext(nbd::Quoted(key.str()));
    fields.emplace(std::string(key.str()), *std::move(value));
  }
  return fields;
}

Result<void> AddExport(const toml::node& node, ServeConfig& into) {
  const toml::table* const table = node.as_table();
  if (table == nullptr) return At(node, "expected [[export]]");
  ASSIGN(const ConfigFields fields, FieldsIn(*table, {}));
  Result<ExportConfig> added = ExportFromFields(fields);
  if (!added) return At(node, fmt::format("export: {}", added.error().message));
  into.exports.push_back(*std::move(added));
  into.exports.back().from_file = true;
  return {};
}

}  // namespace

Result<void> ServeConfigFromToml(std::string_view text, ServeConfig& into) {
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("line {}: {}", parsed.error().source().begin.line,
                             parsed.error().description())};
  }
  const toml::table& document = parsed.table();
  ASSIGN(const ConfigFields fields, FieldsIn(document, {"limits", "export"}));
  TRY(ServerFromFields(fields, into));
  if (const toml::node* const node = document.get("limits")) {
    const toml::table* const table = node->as_table();
    if (table == nullptr) return At(*node, "expected [limits]");
    ASSIGN(const ConfigFields limits, FieldsIn(*table, {}));
    Result<void> taken = LimitsFromFields(limits, into);
    if (!taken) return At(*node, fmt::format("limits: {}", taken.error().message));
  }
  if (const toml::node* const node = document.get("export")) {
    const toml::array* const list = node->as_array();
    if (list == nullptr) return At(*node, "expected [[export]]");
    for (const toml::node& one : *list) TRY(AddExport(one, into));
  }
  return {};
}

Result<void> ServeConfigFromFile(const std::filesystem::path& path, ServeConfig& into) {
  constexpr size_t kFileBytesMax = 1u << 20;
  std::ifstream file(path, std::ios::binary);
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) {
    return ErrnoError(errno, fmt::format("{}: read", path.native()));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kFileBytesMax) {
    return Error{Errc::kLimit, fmt::format("{}: more than a MiB", path.native())};
  }
  Result<void> taken = ServeConfigFromToml(text, into);
  if (!taken) return std::move(taken).error().WithContext(path.native());
  return {};
}

}  // namespace mica
