// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "formats/identity_text.h"
#include "tools/cli/layer_view.h"
#include "tools/cli/output_json.h"
#include "tools/cli/output_text.h"
#include "tools/cli/snapshot_text.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "info",
    .summary = "Show what an image is",
    .synopsis = "[-f FMT] [--backing-chain] FILE",
    .notes =
        "An image that is being used is shown all the same and marked as in use.\n"
        "With --backing-chain JSON is an array, the image first. A chain that cannot be opened is\n"
        "shown as far as it can; the exit status then tells what is wrong (6: a parent is not the\n"
        "recorded one)."};

struct InfoOptions {
  std::optional<std::string> format;
  std::string file;
  bool chain = false;
};

void AppendLine(std::string& text, std::string_view label, std::string_view value) {
  text += fmt::format("{}: {}\n", label, value);
}

void AppendCompression(std::string& text, const CompressionInfo& compression) {
  AppendLine(text, "compression",
             fmt::format("{} level {}, chunks of {}", compression.codec, compression.level,
                         FormatBytes(compression.chunk_bytes)));
  const double ratio = compression.stored_bytes == 0
                           ? 1
                           : static_cast<double>(compression.content_bytes) /
                                 static_cast<double>(compression.stored_bytes);
  AppendLine(text, "compressed size",
             fmt::format("{} of {} (ratio {:.2f})", FormatBytes(compression.stored_bytes),
                         FormatBytes(compression.content_bytes), ratio));
}

std::string LimitText(uint64_t bytes) {
  return bytes == 0 ? "none" : FormatBytes(bytes);
}

void AppendSpace(std::string& text, const LayerView& view) {
  if (view.shared_bytes)
    AppendLine(text, "shared", FormatBytes(*view.shared_bytes) + " in parents");
  if (view.usage) {
    AppendLine(text, "own", FormatBytes(view.usage->own_bytes));
    AppendLine(text, "snapshots", FormatBytes(view.usage->snapshot_bytes));
    AppendLine(text, "metadata", FormatBytes(view.usage->metadata_bytes));
    AppendLine(text, "reclaimable", FormatBytes(view.reclaimable_bytes()));
  }
  if (view.quota) {
    AppendLine(text, "quota",
               fmt::format("{} (soft: {})", LimitText(view.quota->hard_bytes),
                           LimitText(view.quota->soft_bytes)));
  }
}

std::string TextOf(const LayerView& view) {
  const LayerInfo& info = view.info;
  std::string text;
  AppendLine(text, "image", info.path);
  AppendLine(text, "file format", info.format);
  AppendLine(text, "virtual size", FormatBytesExactly(info.virtual_size));
  AppendLine(text, "disk size", FormatBytes(view.allocated_bytes));
  AppendLine(text, "cluster size", fmt::format("{} bytes", info.cluster_bytes));
  AppendLine(text, "checksums", info.digest_block_bytes != 0 ? "yes" : "no");
  AppendLine(text, "sealed", info.sealed ? "yes" : "no");
  if (info.compression) AppendCompression(text, *info.compression);
  AppendSpace(text, view);
  if (view.in_use) AppendLine(text, "in use", "yes");
  if (info.identity) {
    AppendLine(text, "uuid", UuidText(info.identity->uuid));
    AppendLine(text, "digest", FormatHex(info.identity->digest));
  }
  if (view.epoch) AppendLine(text, "epoch", std::to_string(*view.epoch));
  if (!view.snapshots.empty()) text += "snapshots:\n" + SnapshotLines(view.snapshots);
  if (!info.parent) return text;
  AppendLine(text, "parent",
             fmt::format("{} (actual path: {})", info.parent->path, view.parent_path->native()));
  AppendLine(text, "parent format", info.parent->format);
  if (info.parent->identity) {
    AppendLine(text, "parent uuid", UuidText(info.parent->identity->uuid));
    AppendLine(text, "parent digest", FormatHex(info.parent->identity->digest));
  }
  return text;
}

Async<ExitStatus> ShowOne(Context& context, const InfoOptions& options) {
  CO_ASSIGN(const LayerView view,
            co_await ViewLayer(context.host, options.file, options.format, LayerDetail::kSpace));
  if (context.output.json()) {
    context.output.Document(ToJson(view));
  } else {
    context.output.Text(TextOf(view));
  }
  co_return ExitStatus::kDone;
}

Async<ExitStatus> ShowChain(Context& context, const InfoOptions& options) {
  CO_ASSIGN(const ChainView chain, co_await ViewChain(context.host, options.file, options.format));
  nlohmann::json document = nlohmann::json::array();
  std::string text;
  for (const LayerView& view : chain.layers) {
    document.push_back(ToJson(view));
    if (!text.empty()) text += '\n';
    text += TextOf(view);
  }
  if (context.output.json()) {
    context.output.Document(document);
  } else {
    context.output.Text(text);
  }
  if (chain.fault) co_return *chain.fault;
  co_return ExitStatus::kDone;
}

Async<ExitStatus> Info(Context& context, const InfoOptions& options) {
  if (options.chain) co_return co_await ShowChain(context, options);
  co_return co_await ShowOne(context, options);
}

}  // namespace

Verb AddInfo(CLI::App& program) {
  const auto options = std::make_shared<InfoOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  AddFormat(*command, "-f,--format", options->format, "Format of FILE");
  command->add_flag("--backing-chain", options->chain, "Show its parents too");
  command->add_option("FILE", options->file, "The image")->required();
  return {command,
          [options](Context& context) { return SyncWait(context.loop, Info(context, *options)); }};
}

}  // namespace mica
