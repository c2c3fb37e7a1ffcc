// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "engine/jobs/compare.h"
#include "formats/open_chain.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "compare",
    .summary = "Compare what the guest sees in two images",
    .synopsis = "[-f FMT] [-F FMT] [-s] A B",
    .notes =
        "The shorter image is taken to go on with zeroes, so images of different sizes can be\n"
        "identical; a note then says so. With -s different sizes are a difference.\n"
        "Exit status, as qemu-img compare has it: 0 identical, 1 different, 2 an image could not\n"
        "be opened (also bad usage), 3 the allocation of an image could not be found out, 4 data\n"
        "could not be read."};

enum class CompareStatus : int {
  kIdentical = 0,
  kDifferent = 1,
  kNotOpened = 2,
  kNoStatus = 3,
  kNotRead = 4,
};

ExitStatus AsExitStatus(CompareStatus status) {
  return static_cast<ExitStatus>(status);
}

struct CompareVerbOptions {
  std::optional<std::string> format_a;
  std::optional<std::string> format_b;
  std::string a;
  std::string b;
  bool strict = false;
};

struct Sizes {
  uint64_t a = 0;
  uint64_t b = 0;
};

void Tell(const CompareVerbOptions& options, const Sizes& sizes,
          std::optional<uint64_t> first_difference, Output& output) {
  const bool size_differs = options.strict && sizes.a != sizes.b;
  if (output.json()) {
    nlohmann::json document{{"identical", !size_differs && !first_difference},
                            {"virtual-size-a", sizes.a},
                            {"virtual-size-b", sizes.b}};
    document["first-difference"] = nullptr;
    if (first_difference) document["first-difference"] = *first_difference;
    output.Document(document);
    return;
  }
  if (sizes.a != sizes.b && !options.strict) output.Note("Warning: Image size mismatch!");
  if (output.quiet()) return;  // the exit status says it, as with qemu-img
  if (size_differs) {
    output.Text("Strict mode: Image size mismatch!\n");
  } else if (first_difference) {
    output.Text(fmt::format("Content mismatch at offset {}!\n", *first_difference));
  } else {
    output.Text("Images are identical.\n");
  }
}

ExitStatus ReportFailure(const CompareFailure& failure) {
  PrintError(failure.error.message);
  return AsExitStatus(failure.step == CompareFailure::Step::kStatus ? CompareStatus::kNoStatus
                                                                    : CompareStatus::kNotRead);
}

Async<ExitStatus> CompareOpened(Context& context, const CompareVerbOptions& options, ImageChain& a,
                                ImageChain& b) {
  const Sizes sizes{a.info().size, b.info().size};
  if (options.strict && sizes.a != sizes.b) {
    Tell(options, sizes, std::nullopt, context.output);
    co_return AsExitStatus(CompareStatus::kDifferent);
  }
  ProgressTotals goal;
  goal.bytes = std::max(sizes.a, sizes.b);
  Progress progress(context.progress, "compare", goal);
  mica::CompareOptions job;
  job.on_progress = [&progress](uint64_t examined) { progress.Update({.bytes = examined}); };
  const CompareOutcome outcome = co_await Compare(context.loop, a, b, job);
  if (!outcome) co_return ReportFailure(outcome.error());
  Tell(options, sizes, outcome->first_difference, context.output);
  co_return AsExitStatus(outcome->first_difference ? CompareStatus::kDifferent
                                                   : CompareStatus::kIdentical);
}

Async<ExitStatus> CompareImages(Context& context, const CompareVerbOptions& options) {
  OpenChainOptions open_a;
  open_a.format = options.format_a;
  CO_ASSIGN(const std::unique_ptr<ImageChain> a,
            co_await OpenChain(context.host, options.a, open_a));
  OpenChainOptions open_b;
  open_b.format = options.format_b;
  CO_ASSIGN(const std::unique_ptr<ImageChain> b,
            co_await OpenChain(context.host, options.b, open_b));
  const Result<ExitStatus> compared = co_await CompareOpened(context, options, *a, *b);
  CO_TRY(co_await a->Close());
  CO_TRY(co_await b->Close());
  co_return compared;
}

ExitStatus StatusOfError(const Error&) {
  return AsExitStatus(CompareStatus::kNotOpened);
}

}  // namespace

Verb AddCompare(CLI::App& program) {
  const auto options = std::make_shared<CompareVerbOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->format_a, "Format of A");
  AddFormat(*command, "-F", options->format_b, "Format of B");
  command->add_flag("-s,--strict", options->strict, "Different sizes are a difference");
  command->add_option("A", options->a, "An image")->required();
  command->add_option("B", options->b, "Another image")->required();
  return {command,
          [options](Context& context) {
            return SyncWait(context.loop, CompareImages(context, *options));
          },
          &StatusOfError, AsExitStatus(CompareStatus::kNotOpened)};
}

}  // namespace mica
