// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "engine/base/aligned_buffer.h"
#include "tools/browse/guest_image.h"
#include "tools/guest/path.h"
#include "tools/guest/text.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{.name = "cat",
                         .summary = "Print a file inside an image",
                         .synopsis = "IMAGE[:VOLUME] PATH",
                         .notes =
                             "Symlinks are followed inside the image. Works on an image that\n"
                             "is being served, too: it shows the last flush."};

constexpr size_t kPieceBytes = size_t{1} << 20;

struct CatOptions {
  std::string image;
  std::string path;
};

Result<ExitStatus> Cat(Context& context, const CatOptions& options) {
  ASSIGN(const std::unique_ptr<GuestImage> image,
         GuestImage::Open(context, ParseImageSpec(options.image)));
  guest::Volume& volume = image->volume();
  ASSIGN(const uint64_t inode,
         guest::ResolvePath(volume, options.path, guest::FinalSymlink::kFollow));
  ASSIGN(const guest::Object object, volume.Stat(inode));
  if (object.kind != guest::ObjectKind::kRegular) {
    return Error{Errc::kInvalidArgument, fmt::format("{}: expected a file, found a {}",
                                                     options.path, guest::KindName(object.kind))};
  }
  AlignedBuffer piece(kPieceBytes);
  for (uint64_t offset = 0; offset < object.size;) {
    ASSIGN(const size_t count, volume.Read(inode, offset, piece.span()));
    if (count == 0) break;
    context.output.Raw(AsText(piece.span().first(count)));
    offset += count;
  }
  return ExitStatus::kDone;
}

}  // namespace

Verb AddCat(CLI::App& program) {
  const auto options = std::make_shared<CatOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("IMAGE", options->image, "An image, and which volume of it")->required();
  command->add_option("PATH", options->path, "A file inside it")->required();
  return {command, [options](Context& context) { return Cat(context, *options); }};
}

}  // namespace mica
