// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "engine/filters/forwarding_device.h"
#include "engine/jobs/copy.h"
#include "formats/registry.h"
#include "tools/image_file.h"
#include "tools/measuring_device.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "measure",
    .summary = "Tell how much host space a conversion would take",
    .synopsis = "[-f FMT] [-O FMT] [-b PARENT [-F FMT]] (--size SIZE | SRC)",
    .notes =
        "As `qemu-img measure`: the bytes that the new image would take, and those it could take\n"
        "when all of its disk is written. SRC is read, because zeroes, and with -b blocks that\n"
        "PARENT has as well, are not stored."};

struct MeasureOptions {
  std::optional<std::string> source_format;
  std::string format = "mica";
  std::optional<std::string> parent;
  std::optional<std::string> parent_format;
  std::optional<uint64_t> size;
  std::optional<std::string> source;
};

// The target of the conversion that is measured: remembers how much, not what.
class EstimatingDevice final : public ForwardingDevice {
 public:
  EstimatingDevice(MeasuringDevice& nothing, SizeEstimate& estimate)
      : ForwardingDevice(nothing), estimate_(estimate) {}

  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override {
    estimate_.AddData(ByteRange{offset, buffer.size()});
    return inner_.Write(offset, buffer, durability);
  }
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override {
    estimate_.AddZero(range);
    return inner_.WriteZeroes(range, hint, durability);
  }

 private:
  SizeEstimate& estimate_;
};

Async<void> CopyInto(Context& context, BlockDevice& source, BlockDevice* baseline,
                     SizeEstimate& estimate) {
  MeasuringDevice nothing(source.info().size);
  EstimatingDevice target(nothing, estimate);
  ProgressTotals goal;
  goal.bytes = source.info().size;
  Progress progress(context.progress, "measure", goal);
  mica::CopyOptions job;
  job.baseline = baseline;
  job.on_progress = [&progress](const CopyTotals& totals) {
    progress.Update({.bytes = totals.examined_bytes});
  };
  CO_ASSIGN(const CopyTotals totals, co_await Copy(context.loop, source, target, job));
  progress.Finish({.bytes = totals.examined_bytes});
  co_return Result<void>();
}

Async<std::unique_ptr<SizeEstimate>> MeasureSource(Context& context, const MeasureOptions& options,
                                                   const ImageFormat& format) {
  OpenChainOptions open;
  open.format = options.source_format;
  CO_ASSIGN(const std::unique_ptr<ImageChain> source,
            co_await OpenChain(context.host, *options.source, open));
  OpenParentImage parent;
  if (options.parent) {
    CO_ASSIGN(parent, co_await OpenParent(context.host, *options.parent, options.parent_format));
  }
  std::unique_ptr<SizeEstimate> estimate = format.EstimateSize(source->info().size);
  CO_TRY(co_await CopyInto(context, *source, parent.chain.get(), *estimate));
  CO_TRY(co_await source->Close());
  if (parent.chain) CO_TRY(co_await parent.chain->Close());
  co_return estimate;
}

void Tell(const MeasureOptions& options, const SizeEstimate& estimate, Output& output) {
  if (output.json()) {
    output.Document({{"format", options.format},
                     {"required", estimate.RequiredBytes()},
                     {"fully-allocated", estimate.FullBytes()}});
    return;
  }
  output.Text(fmt::format("required size: {}\nfully allocated size: {}\n", estimate.RequiredBytes(),
                          estimate.FullBytes()));
}

Async<ExitStatus> Measure(Context& context, const MeasureOptions& options) {
  CO_ASSIGN(const ImageFormat* const format, FindFormat(options.format));
  if (options.source.has_value() == options.size.has_value()) {
    co_return Error{Errc::kInvalidArgument,
                    "expected either an image to measure or --size, see `mica measure --help`"};
  }
  std::unique_ptr<SizeEstimate> estimate;
  if (options.size) {
    estimate = format->EstimateSize(*options.size);
  } else {
    CO_ASSIGN(estimate, co_await MeasureSource(context, options, *format));
  }
  Tell(options, *estimate, context.output);
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddMeasure(CLI::App& program) {
  const auto options = std::make_shared<MeasureOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->source_format, "Format of SRC");
  command
      ->add_option("-O,--output-format", options->format,
                   "Format of the new image: mica (the default) or raw")
      ->type_name("FMT");
  command->add_option("-b,--parent", options->parent, "The sealed image to build the new one on")
      ->type_name("PARENT");
  AddFormat(*command, "-F,--parent-format", options->parent_format, "Format of PARENT");
  AddSize(*command, "--size", options->size, "Of a new, empty image instead of SRC");
  command->add_option("SRC", options->source, "The image that would be converted");
  return {command, [options](Context& context) {
            return SyncWait(context.loop, Measure(context, *options));
          }};
}

}  // namespace mica
