// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "engine/chunk_codec.h"
#include "formats/open_chain.h"
#include "tools/cli/image_file.h"
#include "tools/cli/layer_view.h"
#include "tools/cli/output_json.h"
#include "tools/cli/output_text.h"
#include "tools/cli/pack_in_place.h"
#include "tools/cli/parse.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "seal",
    .summary = "Make an image an immutable master with an identity",
    .synopsis = "[-f FMT] [--compress[=LEVEL] [--chunk-size SIZE]] [-n] FILE",
    .notes =
        "A sealed image can be the parent of others and cannot be written any more. A mica image\n"
        "carries the seal itself; beside a raw image it is FILE.seal, which belongs to it from\n"
        "then on. Sealing a raw image reads all of it. Beside a sealed image that has a parent\n"
        "there is FILE.index, which speeds up the first reads of its children; it can be removed\n"
        "at any time and is made again.\n"
        "--compress also takes an image that is sealed already, and one whose deltas are in use:\n"
        "it is written anew beside FILE, in the order of the guest's disk, verified, and takes\n"
        "FILE's name with the same identity. Whoever has the old file open keeps it until it is\n"
        "closed. Until then FILE is as it was, whatever happens. Level 9 and chunks of 32K by\n"
        "default; smaller chunks take more space and are faster to read at random."};

struct SealOptions {
  std::optional<std::string> format;
  std::string file;
  std::string compress;  // empty, a level, or kDefaultLevel
  std::optional<uint64_t> chunk_bytes;
  bool dry_run = false;
};

void Tell(const SealOptions& options, const LayerIdentity& identity,
          const std::optional<PackTotals>& packed, Output& output) {
  if (output.json()) {
    nlohmann::json document{
        {"filename", options.file}, {"sealed", true}, {"identity", ToJson(identity)}};
    if (packed) {
      document["content-bytes"] = packed->content_bytes;
      document["stored-bytes"] = packed->stored_bytes;
    }
    output.Document(document);
    return;
  }
  output.Note(fmt::format("{}: sealed, digest {}", options.file, FormatHex(identity.digest)));
  if (!packed) return;
  output.Note(fmt::format("{}: {} of content compressed to {}", options.file,
                          FormatBytes(packed->content_bytes), FormatBytes(packed->stored_bytes)));
}

Async<ExitStatus> DryRun(Context& context, const SealOptions& options) {
  CO_ASSIGN(const LayerView view,
            co_await ViewLayer(context.host, options.file, options.format, LayerDetail::kBasic));
  if (view.in_use) {
    co_return Error{Errc::kBusy, fmt::format("{}: expected an image nobody uses, found one that is "
                                             "in use; try again when its user has closed it",
                                             options.file)};
  }
  if (context.output.json()) {
    context.output.Document({{"filename", options.file},
                             {"format", view.info.format},
                             {"sealed", view.info.sealed},
                             {"dry-run", true}});
  } else {
    context.output.Note(fmt::format("{}: {} {} image of {}", options.file,
                                    view.info.sealed ? "is already a sealed" : "would seal this",
                                    view.info.format, FormatBytes(view.info.virtual_size)));
  }
  co_return ExitStatus::kDone;
}

// What CLI11 gives for a flag without a value.
constexpr std::string_view kDefaultLevel = "true";

std::string WrongLevel(const std::string& text) {
  if (text == kDefaultLevel) return {};
  const Result<uint64_t> level = ParseSize(text);
  if (level && *level >= kCompressionLevelMin && *level <= kCompressionLevelMax) return {};
  return fmt::format("expected a level from {} to {}, found '{}'", kCompressionLevelMin,
                     kCompressionLevelMax, text);
}

PackOptions WantedPack(const SealOptions& options) {
  PackOptions wanted;
  if (options.compress != kDefaultLevel) wanted.level = std::stoi(options.compress);
  // What does not fit is as wrong as 0 is.
  const uint64_t chunk_bytes = options.chunk_bytes.value_or(wanted.chunk_bytes);
  wanted.chunk_bytes = chunk_bytes <= UINT32_MAX ? static_cast<uint32_t>(chunk_bytes) : 0;
  return wanted;
}

Async<ExitStatus> Seal(Context& context, const SealOptions& options) {
  CO_ASSIGN(const ImageFormat* const format,
            co_await FormatOf(context.host, options.file, options.format));
  if (options.chunk_bytes && options.compress.empty()) {
    co_return Error{Errc::kInvalidArgument, "--chunk-size is for --compress; add that"};
  }
  if (!options.compress.empty()) {
    CO_TRY(co_await format->CheckPackable(context.host, options.file, WantedPack(options)));
  }
  if (options.dry_run) co_return co_await DryRun(context, options);
  CO_ASSIGN(const LayerIdentity identity, co_await format->Seal(context.host, options.file));
  // Nobody needs it to go on: a chain makes what it does not find.
  static_cast<void>(co_await PrepareIndex(context.host, options.file));
  std::optional<PackTotals> packed;
  if (!options.compress.empty()) {
    PackRequest request;
    request.format = format;
    request.file = options.file;
    request.identity = identity;
    request.options = WantedPack(options);
    CO_ASSIGN(packed, co_await PackInPlace(context, request));
  }
  Tell(options, identity, packed, context.output);
  co_return ExitStatus::kDone;
}

}  // namespace

Verb AddSeal(CLI::App& program) {
  const auto options = std::make_shared<SealOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->format, "Format of FILE");
  AddDryRun(*command, options->dry_run, "Check that it could be sealed and change nothing");
  // A flag that may have a value, so that FILE is not taken for one.
  command->add_flag("--compress", options->compress, "Compress with zstd, LEVEL 1 (fast) to 19")
      ->type_name("[=LEVEL]")
      ->check(CLI::Validator(&WrongLevel, ""));
  AddSize(*command, "--chunk-size", options->chunk_bytes, "Compressed together: 16K, 32K or 64K");
  command->add_option("FILE", options->file, "The image")->required();
  return {command,
          [options](Context& context) { return SyncWait(context.loop, Seal(context, *options)); }};
}

}  // namespace mica
