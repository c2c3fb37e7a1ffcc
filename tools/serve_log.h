// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/core.h>

#include "nbd/event_log.h"
#include "tools/output.h"

namespace mica {

// What the server reports, on stderr, from a severity on.
class ServeLog final : public nbd::EventLog {
 public:
  explicit ServeLog(nbd::Severity from) : from_(from) {}

  void Write(nbd::Severity severity, std::string_view message) override {
    if (severity >= from_) PrintError(fmt::format("{}{}", Prefix(severity), message));
  }

 private:
  static std::string_view Prefix(nbd::Severity severity) {
    if (severity == nbd::Severity::kWarning) return "warning: ";
    return severity == nbd::Severity::kError ? "error: " : "";
  }

  nbd::Severity from_;
};

}  // namespace mica
