// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "engine/base/unique_fd.h"
#include "tools/rebase/report_format.h"

namespace mica {

namespace {

using rebase::JobOutcome;

std::vector<std::string> RescuedFiles(const JobOutcome& outcome) {
  std::vector<std::string> files;
  for (const rebase::RescuedFile& rescued : outcome.rescued) files.push_back(rescued.file.string());
  return files;
}

// "2: 650 objects changed by the VM (delta-bounded) and 3000 by the patch (…); seconds: open 0.1 …"
std::string FiguresText(const rebase::VolumeFigures& f) {
  return fmt::format(
      "{} objects changed by the VM ({}), {} by the patch ({}); seconds: open {:.3f}, diffs {:.3f} "
      "+ "
      "{:.3f}, plan {:.3f}, apply {:.3f}, verify {:.3f}, e2fsck {:.3f}",
      f.our_changes, rebase::DiffMethodName(f.our_method), f.their_changes,
      rebase::DiffMethodName(f.their_method), f.open_seconds, f.our_diff_seconds,
      f.their_diff_seconds, f.plan_seconds, f.apply_seconds, f.verify_seconds, f.check_seconds);
}

rebase::ReportContext ContextOf(const JobOutcome& outcome, std::span<const std::string> rescued) {
  rebase::ReportContext context;
  context.rescued = rescued;
  context.facts["seconds"] = fmt::format("{:.3f}", outcome.total_seconds);
  for (const rebase::VolumeFigures& figures : outcome.volumes) {
    context.facts[fmt::format("partition_{}", figures.number)] = FiguresText(figures);
  }
  if (!outcome.delta.empty()) {
    context.facts[outcome.quarantined ? "quarantined" : "delta"] = outcome.delta.string();
  }
  if (outcome.kept) context.facts["kept"] = outcome.kept->string();
  if (!outcome.regenerate.empty()) {
    context.facts["regenerate"] = fmt::format("{}", fmt::join(outcome.regenerate, " "));
  }
  return context;
}

std::string ResultText(const JobOutcome& outcome) {
  std::string text;
  for (const rebase::VolumeFigures& figures : outcome.volumes) {
    text += fmt::format("partition {}: {}\n", figures.number, FiguresText(figures));
  }
  if (outcome.delta.empty()) return text;
  const std::string delta = outcome.delta.string();
  if (outcome.quarantined) {
    return text + fmt::format("quarantined: the VM is as it was; the new delta is {}\n", delta);
  }
  if (outcome.kept) {
    return text + fmt::format("{} is rebased; its old delta is kept as {} (mica rollback)\n", delta,
                              outcome.kept->string());
  }
  return text + fmt::format("the rebased delta is {}\n", delta);
}

Result<void> WriteFile(const std::filesystem::path& file, std::string_view text) {
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

}  // namespace

void PrintOutcome(Output& output, const JobOutcome& outcome) {
  const std::vector<std::string> rescued = RescuedFiles(outcome);
  const rebase::ReportContext context = ContextOf(outcome, rescued);
  if (output.json()) {
    output.Text(rebase::FormatReportJson(outcome.report, context));
    return;
  }
  output.Text(rebase::FormatReportText(outcome.report, context, rebase::ReportDetail::kAttention));
  output.Text(ResultText(outcome));
}

Result<void> WriteReport(const std::filesystem::path& file, const rebase::JobInput& input,
                         const JobOutcome& outcome) {
  const std::vector<std::string> rescued = RescuedFiles(outcome);
  rebase::ReportContext context = ContextOf(outcome, rescued);
  context.facts["vm"] = input.vm.string();
  context.facts["onto"] = input.target.string();
  return WriteFile(file, rebase::FormatReportJson(outcome.report, context));
}

}  // namespace mica
