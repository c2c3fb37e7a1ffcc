// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/chain_job_run.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "tools/cli/output_text.h"

namespace mica {

namespace {

ProgressTotals BytesGoal(uint64_t size) {
  ProgressTotals goal;
  goal.bytes = size;
  return goal;
}

}  // namespace

ChainJobRun::ChainJobRun(Context& context, const std::string& label, uint64_t size)
    : progress_(context.progress, label, BytesGoal(size)) {}

ChainJobOptions ChainJobRun::Options(JobMode mode) {
  ChainJobOptions options;
  options.mode = mode;
  options.on_progress = [this](const ChainJobTotals& totals) {
    progress_.Update(BytesGoal(totals.examined_bytes));
  };
  return options;
}

void ChainJobRun::Finish(const ChainJobTotals& totals) {
  progress_.Finish(BytesGoal(totals.examined_bytes));
}

void Tell(const ChainJobResult& result, Output& output) {
  const ChainJobTotals& totals = result.totals;
  if (!output.json()) {
    output.Note(fmt::format("{}: {}{}: {} copied, {} zeroed, {} dropped as the parent has the same",
                            result.file, result.dry_run ? "would be " : "", result.done,
                            FormatBytes(totals.copied_bytes), FormatBytes(totals.zeroed_bytes),
                            FormatBytes(totals.dropped_bytes)));
    return;
  }
  nlohmann::json document{{"filename", result.file},
                          {"virtual-size", totals.examined_bytes},
                          {"copied-bytes", totals.copied_bytes},
                          {"zeroed-bytes", totals.zeroed_bytes},
                          {"dropped-bytes", totals.dropped_bytes},
                          {"dry-run", result.dry_run}};
  document["parent"] = result.parent ? nlohmann::json(*result.parent) : nlohmann::json(nullptr);
  output.Document(document);
}

}  // namespace mica
