// SPDX-License-Identifier: Apache-2.0
// The summary at the end of a rebase report.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

namespace mica {

// The summary in the last line of `text`; null when there is none.
nlohmann::json SummaryOfLine(std::string_view text);

// Of the report in `file`, of which only the end is read; null when there is none.
nlohmann::json SummaryOfReport(const std::filesystem::path& file);

}  // namespace mica
