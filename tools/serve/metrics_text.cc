// SPDX-License-Identifier: Apache-2.0
#include "tools/serve/metrics_text.h"

#include <fmt/format.h>

#include <array>
#include <functional>
#include <iterator>
#include <map>
#include <set>

#include "engine/base/utf8.h"
#include "engine/chunk_cache.h"

namespace mica {

namespace {

using nbd::Command;
using nbd::CommandStats;
using nbd::ExportStats;
using nbd::LatencyHistogram;

constexpr std::array kCounted = {Command::kRead,       Command::kWrite, Command::kFlush,
                                 Command::kTrim,       Command::kCache, Command::kWriteZeroes,
                                 Command::kBlockStatus};

// The value of a label: backslash and quotation mark are escaped. Labels are UTF-8; what is not,
// and control characters, is shown as \xNN.
std::string LabelValue(std::string_view text) {
  std::string value;
  while (!text.empty()) {
    const size_t length = PrintableLength(text);
    if (length == 0) {
      fmt::format_to(std::back_inserter(value), "\\\\x{:02x}",
                     static_cast<unsigned char>(text.front()));
    } else {
      if (text.front() == '"' || text.front() == '\\') value += '\\';
      value += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return value;
}

class MetricsWriter {
 public:
  explicit MetricsWriter(const ExportKeeper::Entries& entries) : entries_(entries) {}

  void Head(std::string_view name, std::string_view type, std::string_view help) {
    Append("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  void Plain(std::string_view name, uint64_t value) { Append("{} {}\n", name, value); }

  // One number for each export.
  template <class Number>
  void ForExports(std::string_view name, Number number) {
    for (const auto& [export_name, entry] : entries_) {
      if (!entry->ready) continue;
      Append("{}{{export=\"{}\"}} {}\n", name, LabelValue(export_name), number(*entry));
    }
  }

  // `write` is called with the labels for each export and each command it has seen.
  template <class Write>
  void ForCommands(Write write) {
    for (const auto& [export_name, entry] : entries_) {
      if (!entry->ready) continue;
      for (const Command command : kCounted) {
        const CommandStats& stats = entry->served->stats.of(command);
        if (stats.requests.value() == 0) continue;
        write(fmt::format("export=\"{}\",command=\"{}\"", LabelValue(export_name),
                          nbd::CommandName(command)),
              stats);
      }
    }
  }
  // One number for each file that is a layer of some export, on whichever loops.
  void LayerCounter(std::string_view name, const Counter LayerReads::* counter) {
    std::set<const LayerReads*> seen;  // exports of one loop share what they count of parents
    std::map<std::string, uint64_t> sums;
    for (const auto& [export_name, entry] : entries_) {
      for (const std::shared_ptr<const LayerReads>& layer : entry->layers) {
        if (seen.insert(layer.get()).second) sums[layer->path] += ((*layer).*counter).value();
      }
    }
    for (const auto& [path, sum] : sums)
      Append("{}{{file=\"{}\"}} {}\n", name, LabelValue(path), sum);
  }
  void CommandCounter(std::string_view name, const Counter CommandStats::* counter) {
    ForCommands([&](const std::string& labels, const CommandStats& stats) {
      Append("{}{{{}}} {}\n", name, labels, (stats.*counter).value());
    });
  }
  void Histogram(std::string_view name, const std::string& labels, const LatencyHistogram& from) {
    uint64_t cumulated = 0;
    for (size_t bucket = 0; bucket < LatencyHistogram::kBuckets; ++bucket) {
      cumulated += from.count(bucket);
      const bool last = bucket + 1 == LatencyHistogram::kBuckets;
      const double bound = static_cast<double>(LatencyHistogram::UpperBound(bucket).count()) / 1e9;
      Append("{}_bucket{{{},le=\"{}\"}} {}\n", name, labels,
             last ? std::string("+Inf") : fmt::format("{}", bound), cumulated);
    }
    Append("{}_sum{{{}}} {}\n", name, labels, static_cast<double>(from.sum_ns()) / 1e9);
    Append("{}_count{{{}}} {}\n", name, labels, cumulated);
  }

  std::string Take() { return std::move(text_); }

 private:
  template <class... Values>
  void Append(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Values>(values)...);
  }

  const ExportKeeper::Entries& entries_;
  std::string text_;
};

// Where reads found their data.
void AppendReads(MetricsWriter& out) {
  out.Head("mica_layer_reads_total", "counter",
           "Reads, or parts of reads, that took their data from this file.");
  out.LayerCounter("mica_layer_reads_total", &LayerReads::reads);
  out.Head("mica_layer_read_bytes_total", "counter", "Bytes that reads took from this file.");
  out.LayerCounter("mica_layer_read_bytes_total", &LayerReads::bytes);
  const ChunkCache::Counters chunks = ChunkCache::OfProcess().counters();
  out.Head("mica_chunk_cache_hits_total", "counter", "Compressed chunks found decompressed.");
  out.Plain("mica_chunk_cache_hits_total", chunks.hits);
  out.Head("mica_chunk_cache_misses_total", "counter", "Compressed chunks read and decompressed.");
  out.Plain("mica_chunk_cache_misses_total", chunks.misses);
  out.Head("mica_chunk_cache_bytes", "gauge", "Decompressed content that is kept.");
  out.Plain("mica_chunk_cache_bytes", chunks.bytes);
}

}  // namespace

std::string MetricsText(const nbd::Server& server, const ExportKeeper& keeper) {
  using Entry = ExportKeeper::Entry;
  MetricsWriter out(keeper.entries());
  out.Head("mica_connections", "gauge", "Connections, in negotiation or transmission.");
  out.Plain("mica_connections", server.connections());
  out.Head("mica_memory_in_flight_bytes", "gauge", "Memory set aside for requests in flight.");
  out.Plain("mica_memory_in_flight_bytes", server.memory().bytes());
  out.Head("mica_exports", "gauge", "Exports.");
  out.Plain("mica_exports", keeper.entries().size());
  out.Head("mica_export_size_bytes", "gauge", "Size of the disk.");
  out.ForExports("mica_export_size_bytes", [](const Entry& entry) { return entry.info.size; });
  out.Head("mica_export_connections", "gauge", "Connections in transmission.");
  out.ForExports("mica_export_connections",
                 [](const Entry& entry) { return entry.served->connections.load(); });
  out.Head("mica_export_connections_total", "counter", "Connections that came to transmission.");
  out.ForExports("mica_export_connections_total",
                 [](const Entry& entry) { return entry.served->stats.connections.value(); });
  out.Head("mica_requests_total", "counter", "Requests answered, with success or an error.");
  out.CommandCounter("mica_requests_total", &CommandStats::requests);
  out.Head("mica_request_errors_total", "counter", "Requests answered with an error.");
  out.CommandCounter("mica_request_errors_total", &CommandStats::errors);
  out.Head("mica_request_bytes_total", "counter", "Bytes of successful requests.");
  out.CommandCounter("mica_request_bytes_total", &CommandStats::bytes);
  out.Head("mica_request_duration_seconds", "histogram",
           "From the arrival of a request until its answer was ready to be sent.");
  out.ForCommands([&](const std::string& labels, const CommandStats& stats) {
    out.Histogram("mica_request_duration_seconds", labels, stats.latency);
  });
  AppendReads(out);
  return out.Take();
}

}  // namespace mica
