// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/confirm_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tools/cli/output_text.h"

namespace mica {

namespace {

using Json = nlohmann::json;

Json ToJson(const std::string& vm, const rebase::ConfirmOutcome& outcome, bool dry_run) {
  Json dropped = Json::array();
  for (const rebase::DroppedDelta& delta : outcome.dropped) {
    dropped.push_back({{"filename", delta.file.string()},
                       {"bytes", delta.bytes},
                       {"parent", delta.parent.string()}});
  }
  Json left = Json::array();
  for (const rebase::LeftDelta& delta : outcome.left) {
    left.push_back(
        {{"filename", delta.file.string()}, {"why", delta.why}, {"refused", delta.refused}});
  }
  return {{"vm", vm}, {"dropped", dropped}, {"left", left}, {"dry-run", dry_run}};
}

void Complain(Output& output, const rebase::ConfirmOutcome& outcome) {
  for (const rebase::LeftDelta& delta : outcome.left) {
    if (!delta.refused) continue;
    output.Warn(fmt::format("{}: not removed: {}", delta.file.string(), delta.why));
  }
}

void Tell(Output& output, const std::string& vm, const rebase::ConfirmOutcome& outcome,
          bool dry_run) {
  if (output.json()) return output.Record(ToJson(vm, outcome, dry_run));
  for (const rebase::DroppedDelta& delta : outcome.dropped) {
    output.Text(fmt::format("{}: {} ({}, on {})\n", delta.file.string(),
                            dry_run ? "would be removed" : "removed", FormatBytes(delta.bytes),
                            delta.parent.string()));
  }
  for (const rebase::LeftDelta& delta : outcome.left) {
    if (delta.refused) continue;
    output.Text(fmt::format("{}: kept: {}\n", delta.file.string(), delta.why));
  }
}

}  // namespace

ConfirmTotals ConfirmAll(Context& context, const std::vector<std::string>& vms,
                         const rebase::ConfirmOptions& options, ConfirmTalk talk) {
  ConfirmTotals totals;
  for (const std::string& vm : vms) {
    const Result<rebase::ConfirmOutcome> outcome = rebase::ConfirmRebase(context.host, vm, options);
    if (!outcome) {
      ++totals.failed;
      totals.busy += outcome.error().code == Errc::kBusy ? 1 : 0;
      context.output.Warn(outcome.error().message);
      if (context.output.json() && talk == ConfirmTalk::kAll) {
        context.output.Record({{"vm", vm}, {"error", outcome.error().message}});
      }
      continue;
    }
    if (talk == ConfirmTalk::kAll) Tell(context.output, vm, *outcome, options.dry_run);
    Complain(context.output, *outcome);
    totals.failed += std::ranges::any_of(outcome->left, &rebase::LeftDelta::refused) ? 1 : 0;
    totals.dropped += outcome->dropped.size();
    for (const rebase::DroppedDelta& delta : outcome->dropped) totals.bytes += delta.bytes;
  }
  return totals;
}

}  // namespace mica
