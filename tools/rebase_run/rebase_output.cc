// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/rebase_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "engine/base/unique_fd.h"
#include "formats/identity_text.h"
#include "tools/rebase/report_format.h"

namespace mica {

namespace {

using rebase::JobOutcome;

using Saved = std::vector<rebase::SavedVersion>;

Saved SavedVersions(const JobOutcome& outcome) {
  Saved saved;
  for (const rebase::RescuedFile& rescued : outcome.rescued) {
    saved.push_back(
        {rescued.file.string(), rescued.side, rescued.content.bytes, rescued.content.digest});
  }
  return saved;
}

// "2: 650 objects changed by the VM (delta-bounded) and 3000 by the patch (…); seconds: open 0.1 …"
std::string FiguresText(const rebase::VolumeFigures& f) {
  const std::string steps =
      f.steps ? fmt::format("{} objects still to be done after what was staged; ", *f.steps) : "";
  return steps + fmt::format(
                     "{} objects changed by the VM ({}), {} by the patch ({}); seconds: open "
                     "{:.3f}, diffs {:.3f} "
                     "+ "
                     "{:.3f}, plan {:.3f}, apply {:.3f}, verify {:.3f}, check {:.3f}",
                     f.our_changes, rebase::DiffMethodName(f.our_method), f.their_changes,
                     rebase::DiffMethodName(f.their_method), f.open_seconds, f.our_diff_seconds,
                     f.their_diff_seconds, f.plan_seconds, f.apply_seconds, f.verify_seconds,
                     f.check_seconds);
}

std::string FiguresKey(const guest::VolumeId& id) {
  if (!id.logical.empty()) return "logical_volume_" + id.logical;
  return fmt::format("partition_{}", id.partition);
}

using Group = std::map<std::string, rebase::ReportContext::Value>;

Group IdentityGroup(const LayerIdentity& identity) {
  return {{"uuid", UuidText(identity.uuid)},
          {"digest", fmt::format("{:02x}", fmt::join(identity.digest, ""))},
          {"virtual-size", identity.virtual_size}};
}

Group DeltaGroup(const rebase::DeltaFacts& facts) {
  return {{"digest", fmt::format("{:02x}", fmt::join(facts.digest, ""))},
          {"stored-bytes", facts.stored_bytes},
          {"shared-bytes", facts.shared_bytes},
          {"file-bytes", facts.file_bytes}};
}

rebase::ReportContext ContextOf(const JobOutcome& outcome, const RebaseNames& names,
                                std::span<const rebase::SavedVersion> rescued) {
  rebase::ReportContext context;
  context.rescued = rescued;
  context.findings = outcome.findings;
  context.facts["vm"] = names.vm;
  context.facts["onto"] = names.onto;
  context.facts["seconds"] = fmt::format("{:.3f}", outcome.total_seconds);
  for (const rebase::VolumeFigures& figures : outcome.volumes) {
    context.facts[FiguresKey(figures.id)] = FiguresText(figures);
  }
  const rebase::Proof& proof = outcome.proof;
  context.facts["policy_digest"] = proof.policy_digest;
  if (proof.base) context.groups["base_identity"] = IdentityGroup(*proof.base);
  if (proof.target) context.groups["onto_identity"] = IdentityGroup(*proof.target);
  context.groups["delta_before"] = DeltaGroup(proof.before);
  if (proof.after) {
    context.groups["delta_after"] = DeltaGroup(*proof.after);
    context.groups["delta_after"]["dropped-bytes"] = proof.dropped_bytes;
    context.facts[outcome.quarantined() ? "quarantined" : "delta"] =
        outcome.quarantined() ? names.quarantine : names.result;
    if (!outcome.quarantined() && !names.kept.empty()) context.facts["kept"] = names.kept;
  }
  if (!outcome.regenerate.empty()) {
    context.facts["regenerate"] = fmt::format("{}", fmt::join(outcome.regenerate, " "));
  }
  return context;
}

}  // namespace

std::string OutcomeJson(const JobOutcome& outcome, const RebaseNames& names) {
  const Saved rescued = SavedVersions(outcome);
  return rebase::FormatReportJson(outcome.report, ContextOf(outcome, names, rescued));
}

std::string OutcomeText(const JobOutcome& outcome, const RebaseNames& names) {
  const Saved rescued = SavedVersions(outcome);
  std::string text = rebase::FormatReportText(outcome.report, ContextOf(outcome, names, rescued),
                                              rebase::ReportDetail::kAttention);
  for (const rebase::VolumeFigures& figures : outcome.volumes) {
    text += fmt::format("{}: {}\n", figures.id.Name(), FiguresText(figures));
  }
  return text;
}

Result<void> WriteDurably(const std::filesystem::path& file, std::string_view text) {
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd) return ErrnoError(errno, "create " + file.string());
  while (!text.empty()) {
    const ssize_t count = ::write(fd.get(), text.data(), text.size());
    if (count < 0 && errno != EINTR) return ErrnoError(errno, "write " + file.string());
    if (count > 0) text.remove_prefix(static_cast<size_t>(count));
  }
  if (::fsync(fd.get()) != 0) return ErrnoError(errno, "sync " + file.string());
  return {};
}

ExitStatus StatusOf(const rebase::Report& report) {
  switch (report.GetVerdict()) {
    case rebase::Verdict::kClean:
      return ExitStatus::kDone;
    case rebase::Verdict::kConflicts:
      return ExitStatus::kConflicts;
    case rebase::Verdict::kBlocked:
      break;
  }
  return ExitStatus::kError;
}

}  // namespace mica
