// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "engine/base/parse_size.h"
#include "tools/cli/output_text.h"
#include "tools/cli/space_image.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "quota",
    .summary = "Show or change how much of the host an image may take",
    .synopsis = "[--hard SIZE|none] [--soft SIZE|none] [-n] FILE",
    .notes =
        "At the hard quota writes that need more space fail as on a full disk; rewriting, "
        "trimming,\n"
        "flushing and closing go on. Past the soft one `mica serve` warns. Metadata counts, and\n"
        "1 MiB is kept for rewriting. A limit that is not named stays as it is.\n"
        "`create -b` and `clone` give a delta 10 GiB; -o quota=SIZE|none says otherwise."};

struct QuotaOptions {
  std::optional<std::string> format;
  std::optional<std::string> hard;
  std::optional<std::string> soft;
  std::string file;
  bool dry_run = false;
};

Result<uint64_t> ParseLimit(std::string_view option, const std::string& text) {
  if (text == "none") return 0;
  Result<uint64_t> bytes = ParseSize(text);
  if (!bytes) return std::move(bytes).error().WithContext(option);
  if (*bytes > 0) return bytes;
  return Error{Errc::kInvalidArgument,
               fmt::format("{}: expected a size such as 10G, or none; found {}", option, text)};
}

Result<SpaceQuota> Wanted(const QuotaOptions& options, SpaceQuota quota) {
  if (options.hard) {
    ASSIGN(quota.hard_bytes, ParseLimit("--hard", *options.hard));
  }
  if (options.soft) {
    ASSIGN(quota.soft_bytes, ParseLimit("--soft", *options.soft));
  }
  return quota;
}

std::string LimitText(uint64_t bytes) {
  return bytes == 0 ? "none" : FormatBytesExactly(bytes);
}

void Tell(const QuotaOptions& options, SpaceQuota quota, uint64_t used, Output& output) {
  if (!output.json()) {
    output.Text(fmt::format("hard: {}\nsoft: {}\nused: {}\n", LimitText(quota.hard_bytes),
                            LimitText(quota.soft_bytes), FormatBytesExactly(used)));
    return;
  }
  output.Document({{"filename", options.file},
                   {"hard", quota.hard_bytes},
                   {"soft", quota.soft_bytes},
                   {"used", used},
                   {"dry-run", options.dry_run}});
}

Async<ExitStatus> Quota(Context& context, const QuotaOptions& options) {
  const bool change = (options.hard || options.soft) && !options.dry_run;
  const SpaceAccess access = change ? SpaceAccess::kChange : SpaceAccess::kLook;
  CO_ASSIGN(const SpaceImage image,
            co_await OpenSpaceImage(context.host, options.file, options.format, access));
  CO_ASSIGN(const SpaceQuota quota, Wanted(options, image.space->quota()));
  if (change) CO_TRY(co_await image.space->SetQuota(quota));
  Tell(options, quota, image.space->used_bytes(), context.output);
  CO_TRY(co_await image.layer->Close());
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddQuota(CLI::App& program) {
  const auto options = std::make_shared<QuotaOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->format, "Format of FILE");
  command->add_option("--hard", options->hard, "Writes beyond this fail")->type_name("SIZE|none");
  command->add_option("--soft", options->soft, "Beyond this the server warns")
      ->type_name("SIZE|none");
  AddDryRun(*command, options->dry_run, "Show what it would be and change nothing");
  command->add_option("FILE", options->file, "The image")->required();
  return {command,
          [options](Context& context) { return SyncWait(context.loop, Quota(context, *options)); }};
}

}  // namespace mica
