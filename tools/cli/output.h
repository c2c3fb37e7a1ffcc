// SPDX-License-Identifier: Apache-2.0
// Output: where a verb's words go. stdout is data, stderr is talk.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "engine/base/result.h"

namespace mica {

enum class OutputFormat : uint8_t { kHuman, kJson };

struct OutputSettings {
  OutputFormat format = OutputFormat::kHuman;
  bool quiet = false;  // no notes; data and errors stay
};

// What cannot be written to stdout is remembered and comes out of Finish. One thread.
class Output {
 public:
  explicit Output(const OutputSettings& settings) : settings_(settings) {}
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  [[nodiscard]] bool json() const noexcept { return settings_.format == OutputFormat::kJson; }
  [[nodiscard]] bool quiet() const noexcept { return settings_.quiet; }

  // Data for people, to stdout, as it is: the caller ends its lines.
  void Text(std::string_view text);
  // The whole result of a verb as one indented JSON document.
  void Document(const nlohmann::json& document);
  // One record of a stream: JSON on a line of its own.
  void Record(const nlohmann::json& record);
  // Raw bytes, such as the content of a file.
  void Raw(std::string_view bytes);

  // Talk, to stderr, as "mica: TEXT"; nothing when quiet.
  void Note(std::string_view text) const;
  // The same, not to be silenced.
  void Warn(std::string_view text) const;

  // Pushes everything out to stdout now. Fails when anything could not be written.
  Result<void> Flush();

 private:
  OutputSettings settings_;
  int write_errno_ = 0;
};

// "mica: TEXT" to stderr: how every error of the program ends up.
void PrintError(std::string_view text);
// The same without the name of the program. Neither minds a stderr that cannot be written.
void PrintLine(std::string_view text);

}  // namespace mica
