// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "engine/base/checked_math.h"
#include "engine/snapshot_control.h"
#include "formats/open_chain.h"
#include "tools/cli/output_text.h"
#include "tools/cli/parse.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "resize",
    .summary = "Make a disk larger or smaller",
    .synopsis = "[-f FMT] [--shrink] FILE [+|-]SIZE",
    .notes =
        "SIZE is a multiple of 4096; with + or - it is added to the size or taken away. A larger\n"
        "disk reads zero in its new part. What a smaller one cuts off is gone, whatever the "
        "parent\n"
        "has there; --shrink says that this is meant. Snapshots keep their size and content."};

struct ResizeOptions {
  std::optional<std::string> format;
  std::string file;
  std::string size;
  bool shrink = false;
};

Result<uint64_t> NewSize(const std::string& text, uint64_t size_now) {
  const bool plus = text.starts_with('+');
  const bool minus = text.starts_with('-');
  ASSIGN(const uint64_t bytes, ParseSize(std::string_view(text).substr(plus || minus ? 1 : 0)));
  if (minus && bytes > size_now) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("expected to take away at most {}, found {}", size_now, text)};
  }
  if (minus) return size_now - bytes;
  if (!plus) return bytes;
  const std::optional<uint64_t> sum = CheckedAdd(size_now, bytes);
  if (!sum) return Error{Errc::kInvalidArgument, fmt::format("{} is too much", text)};
  return *sum;
}

Async<void> SetSize(ImageChain& chain, uint64_t bytes, const ResizeOptions& options) {
  const uint64_t before = chain.info().size;
  if (bytes >= before) co_return co_await chain.Grow(bytes);
  if (!options.shrink) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("{}: expected a size of at least {}, found {}, which cuts off the "
                                "last {} of the disk; if this is meant, say --shrink",
                                options.file, before, bytes, FormatBytes(before - bytes))};
  }
  co_return co_await chain.layer(0).controls().snapshots->Shrink(bytes);
}

Async<ExitStatus> Resize(Context& context, const ResizeOptions& options) {
  OpenChainOptions open;
  open.writable = true;
  open.format = options.format;
  CO_ASSIGN(const std::unique_ptr<ImageChain> chain,
            co_await OpenChain(context.host, options.file, open));
  if (chain->layer(0).controls().snapshots == nullptr) {
    co_return Error{Errc::kUnsupported,
                    fmt::format("{}: expected a mica image, found a {} image; use truncate(1) or "
                                "qemu-img resize on it",
                                options.file, chain->layer(0).info().format)};
  }
  const uint64_t before = chain->info().size;
  CO_ASSIGN(const uint64_t bytes, NewSize(options.size, before));
  CO_TRY(co_await SetSize(*chain, bytes, options));
  CO_TRY(co_await chain->Close());
  if (context.output.json()) {
    context.output.Document(
        {{"filename", options.file}, {"virtual-size-before", before}, {"virtual-size", bytes}});
  } else {
    context.output.Note(fmt::format("{}: has {} now", options.file, FormatBytesExactly(bytes)));
  }
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddResize(CLI::App& program) {
  const auto options = std::make_shared<ResizeOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->format, "Format of FILE");
  command->add_flag("--shrink", options->shrink, "Cut off the end of the disk");
  command->add_option("FILE", options->file, "The image")->required();
  command->add_option("SIZE", options->size, "The new size, or by how much")->required();
  return {command, [options](Context& context) {
            return SyncWait(context.loop, Resize(context, *options));
          }};
}

}  // namespace mica
