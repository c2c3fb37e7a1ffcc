// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "nbd/event_log.h"

namespace mica {

enum class LogFormat : uint8_t {
  kText,  // "mica: warning: PEER: MESSAGE"
  kJson,  // one object a line: time, severity, message, and peer and export where there is one
};

// What the server reports, on stderr, from a severity on. Any thread.
class ServeLog final : public nbd::EventLog {
 public:
  explicit ServeLog(nbd::Severity from) : from_(from) {}
  // Before anything is reported.
  void SetFormat(LogFormat format) noexcept { format_ = format; }

  using EventLog::Write;
  void Write(const nbd::Event& event) override;

 private:
  const nbd::Severity from_;
  LogFormat format_ = LogFormat::kText;
};

}  // namespace mica
