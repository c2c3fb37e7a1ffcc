// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "engine/filters/forwarding_device.h"
#include "formats/registry.h"
#include "tools/cli/measuring_device.h"
#include "tools/copy_run.h"
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
  CopySource source;  // without a file when there is a size
  std::string format = "mica";
  std::optional<uint64_t> size;
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

Async<std::unique_ptr<SizeEstimate>> MeasureSource(Context& context, CopySource source,
                                                   const ImageFormat& format) {
  CO_ASSIGN(CopyInputs inputs, co_await OpenInputs(context.host, source));
  const uint64_t size = inputs.source->info().size;
  std::unique_ptr<SizeEstimate> estimate = format.EstimateSize(size);
  MeasuringDevice nothing(size);
  EstimatingDevice target(nothing, *estimate);
  CO_TRY(co_await RunCopy(context, "measure", inputs, target));
  CO_TRY(co_await CloseInputs(inputs));
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
  if (options.source.file.empty() != options.size.has_value()) {
    co_return Error{Errc::kInvalidArgument,
                    "expected either an image to measure or --size, see `mica measure --help`"};
  }
  std::unique_ptr<SizeEstimate> estimate;
  if (options.size) {
    estimate = format->EstimateSize(*options.size);
  } else {
    CO_ASSIGN(estimate, co_await MeasureSource(context, options.source, *format));
  }
  Tell(options, *estimate, context.output);
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddMeasure(CLI::App& program) {
  const auto options = std::make_shared<MeasureOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->source.format, "Format of SRC");
  command
      ->add_option("-O,--output-format", options->format,
                   "Format of the new image: mica (the default) or raw")
      ->type_name("FMT");
  command
      ->add_option("-b,--parent", options->source.parent,
                   "The sealed image to build the new one on")
      ->type_name("PARENT");
  AddFormat(*command, "-F,--parent-format", options->source.parent_format, "Format of PARENT");
  AddSize(*command, "--size", options->size, "Of a new, empty image instead of SRC");
  command->add_option("SRC", options->source.file, "The image that would be converted");
  return {command, [options](Context& context) {
            return SyncWait(context.loop, Measure(context, *options));
          }};
}

}  // namespace mica
