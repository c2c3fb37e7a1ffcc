// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/metrics_outlets.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>

#include "engine/base/unique_fd.h"
#include "tools/serve/small_server.h"

namespace mica {

namespace {

constexpr std::chrono::seconds kRequestTimeout(10);
constexpr size_t kRequestBytesMax = 8192;

std::string Response(std::string_view status, std::string_view body) {
  return fmt::format(
      "HTTP/1.1 {}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
      "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
      status, body.size(), body);
}

// Reads the head of the request; its first line.
Async<std::string> ReceiveRequestLine(nbd::Stream& stream) {
  std::string input;
  std::string first;
  for (size_t bytes = 0; bytes <= kRequestBytesMax;) {
    CO_ASSIGN(std::optional<std::string> line,
              co_await ReceiveLine(stream, input, kRequestBytesMax));
    if (!line) break;
    bytes += line->size() + 1;
    if (*line == "\r" || line->empty()) co_return first;
    if (first.empty()) first = *std::move(line);
  }
  co_return Error{Errc::kInvalidArgument, "no HTTP request"};
}

}  // namespace

Task<void> AnswerMetricsRequest(EventLoop& loop, nbd::Stream& stream, const MetricsSource& source) {
  const Timer give_up(loop, loop.Now() + kRequestTimeout, [&stream] { stream.Abort(); });
  const Result<std::string> request = co_await ReceiveRequestLine(stream);
  std::string response;
  if (!request) {
    response = Response("400 Bad Request", "");
  } else if (!request->starts_with("GET ")) {
    response = Response("405 Method Not Allowed", "");
  } else if (request->starts_with("GET /metrics ")) {
    response = Response("200 OK", source());
  } else {
    response = Response("404 Not Found", "metrics are at /metrics\n");
  }
  (void)co_await SendText(stream, response);
}

Result<void> WriteMetricsFile(const std::string& path, const std::string& text) {
  const std::string temporary = path + ".new";
  const UniqueFd file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!file) return ErrnoError(errno, fmt::format("{}: create", temporary));
  for (size_t at = 0; at < text.size();) {
    const ssize_t count = ::write(file.get(), text.data() + at, text.size() - at);
    if (count < 0) return ErrnoError(errno, fmt::format("{}: write", temporary));
    at += static_cast<size_t>(count);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    return ErrnoError(errno, fmt::format("{}: rename", path));
  }
  return {};
}

MetricsFileTimer::MetricsFileTimer(EventLoop& loop, std::string path, MetricsSource source,
                                   std::function<void(const Error&)> on_error)
    : loop_(loop),
      path_(std::move(path)),
      source_(std::move(source)),
      on_error_(std::move(on_error)) {
  Tick();
}

void MetricsFileTimer::Tick() {
  const Result<void> written = WriteMetricsFile(path_, source_());
  if (!written) on_error_(written.error());
  next_ = std::make_unique<Timer>(loop_, loop_.Now() + kMetricsFilePeriod, [this] { Tick(); });
}

}  // namespace mica
