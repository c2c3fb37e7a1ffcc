// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/cli/output_text.h"
#include "tools/browse/guest_extract.h"
#include "tools/browse/guest_image.h"
#include "tools/guest/path.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "extract",
    .summary = "Copy files out of an image",
    .synopsis = "IMAGE[:VOLUME] PATH DESTINATION",
    .notes =
        "Copies a file, or a directory with everything below it, to DESTINATION, which must not\n"
        "exist. Content with its holes, modes, times, xattrs, ACLs and hard links are kept; "
        "owners\n"
        "and devices as root only; sockets are left out. A final symlink is copied, not followed."};

struct ExtractOptions {
  std::string image;
  std::string path;
  std::string destination;
};

Result<ExitStatus> Extract(Context& context, const ExtractOptions& options) {
  ASSIGN(const std::unique_ptr<GuestImage> image,
         GuestImage::Open(context, ParseImageSpec(options.image)));
  guest::Volume& volume = image->volume();
  ASSIGN(const uint64_t inode,
         guest::ResolvePath(volume, options.path, guest::FinalSymlink::kKeep));
  ASSIGN(const ExtractFigures figures, ExtractTree(volume, inode, options.destination));
  if (context.output.json()) {
    context.output.Document({{"objects", figures.objects}, {"bytes", figures.bytes}});
  } else {
    context.output.Note(fmt::format("{} objects, {} extracted to {}", figures.objects,
                                    FormatBytes(figures.bytes), options.destination));
  }
  return ExitStatus::kDone;
}

}  // namespace

Verb AddExtract(CLI::App& program) {
  const auto options = std::make_shared<ExtractOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("IMAGE", options->image, "An image, and which volume of it")->required();
  command->add_option("PATH", options->path, "A file or directory inside it")->required();
  command->add_option("DESTINATION", options->destination, "A new name on the host")->required();
  return {command, [options](Context& context) { return Extract(context, *options); }};
}

}  // namespace mica
