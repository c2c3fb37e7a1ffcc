// SPDX-License-Identifier: Apache-2.0
// The two renderings of a report: JSON lines for programs, text for people.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "tools/rebase/fit/fit_rules.h"
#include "tools/rebase/report.h"

namespace mica::rebase {

// A losing version that was saved outside of the image.
struct SavedVersion {
  std::string file;  // on the host
  Side side = Side::kTheirs;
  uint64_t bytes = 0;
  std::string digest;  // 32 hexadecimal digits
};

// What the renderings need beyond the report.
struct ReportContext {
  // Facts about the whole rebase for the summary (images, digests, policy), by name.
  std::map<std::string, std::string> facts;
  // Further facts that belong together, by the name of their object in the summary.
  using Value = std::variant<std::string, uint64_t>;
  std::map<std::string, std::map<std::string, Value>> groups;
  // What fit rules found; the summary's "fit" is then the worst of both.
  std::span<const FitFinding> findings;
  // In the order of the rescue items; may be empty.
  std::span<const SavedVersion> rescued;
};

// One object a line, the last one {"summary": …}. Stable: members are added, never changed.
//   topic path [path_escaped] [other_paths] kind ours theirs action severity [detail]
//   [unclassified] [rule] [merger] [package] [saved] [saved_version] ({side, size, digest})
//   [saved_beside] [volume] [mounted_at] [base] [our] [their] ({size, modified, xxh3})
// and for findings of fit rules: topic ("rule") RuleName Severity Comment path value
std::string FormatReportJson(const Report& report, const ReportContext& context);

enum class ReportDetail : uint8_t {
  kAttention,  // what is not info
  kAll,
};

// Grouped by severity, the worst first, and a summary.
std::string FormatReportText(const Report& report, const ReportContext& context,
                             ReportDetail detail);

std::string_view FitLevelName(FitLevel level);

// One line: how many entries of which severity, and what that means.
std::string FormatReportSummary(const Report& report);

}  // namespace mica::rebase
