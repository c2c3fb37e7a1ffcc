// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/browse/guest_image.h"
#include "tools/browse/object_text.h"
#include "tools/guest/path.h"
#include "tools/guest/text.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "ls",
    .summary = "List files inside an image",
    .synopsis = "[-l] [-R] IMAGE[:VOLUME] [PATH]",
    .notes =
        "Works on an image that is being served, too: it shows the last flush. A journal that\n"
        "the guest has not replayed yet is replayed in memory. With --json there is one record\n"
        "a line."};

constexpr size_t kDepthMax = 1000;  // of directories; deeper ones are a loop somebody made

struct LsOptions {
  std::string image;
  std::string path = "/";
  bool details = false;
  bool recursive = false;
};

class Lister {
 public:
  Lister(guest::Volume& volume, const LsOptions& options, Output& output)
      : volume_(volume), options_(options), output_(output) {}

  Result<void> Entry(const std::string& name, uint64_t inode) {
    if (!options_.details && !output_.json()) {
      output_.Text(guest::DisplayText(name) + "\n");
      return {};
    }
    ASSIGN(const guest::Object object, volume_.Stat(inode));
    if (output_.json()) {
      nlohmann::json record = ToJson(object);
      record["name"] = guest::DisplayText(name);
      output_.Record(record);
      return {};
    }
    std::string line =
        fmt::format("{} {:>3} {:>5} {:>5} {:>12} {} {}", ModeText(object), object.link_count,
                    object.attributes.uid, object.attributes.gid, object.size,
                    TimeText(object.attributes.modified), guest::DisplayText(name));
    if (object.kind == guest::ObjectKind::kSymlink) {
      line += " -> " + guest::DisplayText(object.symlink_target);
    }
    output_.Text(line + "\n");
    return {};
  }

  // Recursive listings show paths relative to where they started.
  Result<void> Directory(uint64_t directory, const std::string& prefix, size_t depth) {
    if (depth > kDepthMax) {
      return Error{Errc::kCorrupt, fmt::format("{}: directories nest deeper than {}",
                                               guest::DisplayText(prefix), kDepthMax)};
    }
    ASSIGN(const std::vector<guest::DirectoryEntry> entries, volume_.List(directory));
    for (const guest::DirectoryEntry& entry : entries) {
      const std::string name = prefix + entry.name;
      TRY(Entry(name, entry.inode));
      if (options_.recursive && entry.kind == guest::ObjectKind::kDirectory) {
        TRY(Directory(entry.inode, name + "/", depth + 1));
      }
    }
    return {};
  }

 private:
  guest::Volume& volume_;
  const LsOptions& options_;
  Output& output_;
};

Result<ExitStatus> Ls(Context& context, const LsOptions& options) {
  ASSIGN(const std::unique_ptr<GuestImage> image,
         GuestImage::Open(context, ParseImageSpec(options.image)));
  guest::Volume& volume = image->volume();
  ASSIGN(const uint64_t inode,
         guest::ResolvePath(volume, options.path, guest::FinalSymlink::kFollow));
  ASSIGN(const guest::Object object, volume.Stat(inode));
  Lister lister(volume, options, context.output);
  if (object.kind == guest::ObjectKind::kDirectory) {
    TRY(lister.Directory(inode, "", 0));
  } else {
    TRY(lister.Entry(options.path, inode));
  }
  return ExitStatus::kDone;
}

}  // namespace

Verb AddLs(CLI::App& program) {
  const auto options = std::make_shared<LsOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_flag("-l", options->details, "Kind, mode, owner, size and time of each");
  command->add_flag("-R,--recursive", options->recursive, "Directories inside directories, too");
  command->add_option("IMAGE", options->image, "An image, and which volume of it")->required();
  command->add_option("PATH", options->path, "A directory or file (the root directory)");
  return {command, [options](Context& context) { return Ls(context, *options); }};
}

}  // namespace mica
