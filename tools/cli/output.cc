// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/output.h"

#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace mica {

namespace {

// Names of files are bytes; what is not UTF-8 in them must not end the program.
std::string Dump(const nlohmann::json& value, int indent) {
  return value.dump(indent, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

void Output::Raw(std::string_view bytes) {
  if (std::fwrite(bytes.data(), 1, bytes.size(), stdout) != bytes.size() && write_errno_ == 0) {
    write_errno_ = errno;
  }
}

void Output::Text(std::string_view text) {
  Raw(text);
}

void Output::Document(const nlohmann::json& document) {
  Raw(Dump(document, 2));
  Raw("\n");
}

void Output::Record(const nlohmann::json& record) {
  Raw(Dump(record, -1));
  Raw("\n");
}

void Output::Note(std::string_view text) const {
  if (!settings_.quiet) PrintError(text);
}

void Output::Warn(std::string_view text) const {
  PrintError(text);
}

Result<void> Output::Flush() {
  if (std::fflush(stdout) != 0 && write_errno_ == 0) write_errno_ = errno;
  if (write_errno_ != 0) return ErrnoError(write_errno_, "standard output: write");
  return {};
}

void PrintError(std::string_view text) {
  PrintLine(fmt::format("mica: {}", text));
}

void PrintLine(std::string_view text) {
  // One call, so that lines of several processes on one terminal do not mix.
  const std::string line = fmt::format("{}\n", text);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace mica
