// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/report_tail.h"

#include <fstream>
#include <string>

namespace mica {

namespace {

constexpr std::streamoff kTailBytes = 1 << 20;

}  // namespace

nlohmann::json SummaryOfLine(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  const size_t before = text.rfind('\n');
  if (before != std::string_view::npos) text.remove_prefix(before + 1);
  nlohmann::json line = nlohmann::json::parse(text, nullptr, false);
  if (!line.is_object() || !line.contains("summary")) return nullptr;
  return line["summary"];
}

nlohmann::json SummaryOfReport(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary | std::ios::ate);
  const std::streamoff size = stream.tellg();
  if (!stream || size <= 0) return nullptr;
  const std::streamoff length = std::min(size, kTailBytes);
  std::string text(static_cast<size_t>(length), '\0');
  stream.seekg(size - length);
  if (!stream.read(text.data(), length)) return nullptr;
  return SummaryOfLine(text);
}

}  // namespace mica
