// SPDX-License-Identifier: Apache-2.0
// Where metrics go: to whoever asks over HTTP, and into a file.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "engine/async/event_loop.h"
#include "nbd/stream.h"

namespace mica {

using MetricsSource = std::function<std::string()>;

// Answers one HTTP/1.x request: GET /metrics has the text, everything else an error. Gives up after
// ten seconds or 8 KiB of request.
Task<void> AnswerMetricsRequest(EventLoop& loop, nbd::Stream& stream, const MetricsSource& source);

// Replaces `path` as a whole, so that a reader sees one state (node_exporter's textfile collector).
Result<void> WriteMetricsFile(const std::string& path, const std::string& text);

// Writes the file now and then every kMetricsFilePeriod while it lives. A failure is `on_error`'s.
class MetricsFileTimer {
 public:
  MetricsFileTimer(EventLoop& loop, std::string path, MetricsSource source,
                   std::function<void(const Error&)> on_error);
  MetricsFileTimer(const MetricsFileTimer&) = delete;
  MetricsFileTimer& operator=(const MetricsFileTimer&) = delete;

 private:
  void Tick();

  EventLoop& loop_;
  std::string path_;
  MetricsSource source_;
  std::function<void(const Error&)> on_error_;
  std::unique_ptr<Timer> next_;
};

inline constexpr std::chrono::seconds kMetricsFilePeriod(10);

}  // namespace mica
