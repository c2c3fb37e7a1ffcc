// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "engine/chain_difference.h"
#include "formats/parent_path.h"
#include "tools/browse/guest_image.h"
#include "tools/browse/object_text.h"
#include "tools/guest/text.h"
#include "tools/rebase/job/index_cache.h"
#include "tools/rebase/job/volume_diff.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "diff",
    .summary = "Show which files differ between two images",
    .synopsis = "A[:VOLUME] B[:VOLUME]",
    .notes =
        "One object a line: + created, - deleted, M changed (content, attributes), R has other\n"
        "names. A moved directory is one line, not one for each file in it. With --json there is\n"
        "one record a line. Only the blocks in which the two images differ are looked at.\n"
        "Exit status 0 whether they differ or not."};

struct DiffOptions {
  std::string a;
  std::string b;
};

std::vector<std::string> Paths(const std::vector<guest::Name>& names) {
  std::vector<std::string> paths;
  for (const guest::Name& name : names) paths.push_back(guest::DisplayText(name.path));
  return paths;
}

std::string TextOf(const guest::ChangedObject& object) {
  const std::string before = fmt::format("{}", fmt::join(Paths(object.names_before), " "));
  const std::string after = fmt::format("{}", fmt::join(Paths(object.names_after), " "));
  if (!object.before) return fmt::format("+ {}\n", after);
  if (!object.after) return fmt::format("- {}\n", before);
  std::string text;
  if (object.names_changed()) text += fmt::format("R {} -> {}\n", before, after);
  if (object.content_changed || object.attributes_changed) {
    text += fmt::format("M {} ({}{}{})\n", after, object.content_changed ? "content" : "",
                        object.content_changed && object.attributes_changed ? ", " : "",
                        object.attributes_changed ? "attributes" : "");
  }
  return text;
}

nlohmann::json JsonOf(const guest::ChangedObject& object) {
  nlohmann::json json = {{"content_changed", object.content_changed},
                         {"attributes_changed", object.attributes_changed},
                         {"names_changed", object.names_changed()}};
  if (object.before) {
    json["before"] = ToJson(*object.before);
    json["before"]["paths"] = Paths(object.names_before);
  }
  if (object.after) {
    json["after"] = ToJson(*object.after);
    json["after"]["paths"] = Paths(object.names_after);
  }
  nlohmann::json ranges = nlohmann::json::array();
  for (const ByteRange& range : object.content_ranges) {
    ranges.push_back({{"start", range.offset}, {"length", range.length}});
  }
  if (!ranges.empty()) json["content_ranges"] = std::move(ranges);
  return json;
}

Result<std::vector<ByteRange>> TouchedRanges(Context& context, GuestImage& a, GuestImage& b) {
  const std::vector<ByteRange>& pieces = a.place().pieces;
  std::vector<ByteRange> touched;
  if (pieces != b.place().pieces) {
    touched.push_back(ByteRange{0, std::max(a.place().bytes(), b.place().bytes())});
    return touched;
  }
  ASSIGN(const std::vector<ByteRange> differ,
         SyncWait(context.loop, DifferingRanges(a.chain(), b.chain())));
  return RangesWithin(differ, pieces);
}

Result<ExitStatus> Diff(Context& context, const DiffOptions& options) {
  ASSIGN(const std::unique_ptr<GuestImage> a, GuestImage::Open(context, ParseImageSpec(options.a)));
  ASSIGN(const std::unique_ptr<GuestImage> b, GuestImage::Open(context, ParseImageSpec(options.b)));
  ASSIGN(std::vector<ByteRange> touched, TouchedRanges(context, *a, *b));
  rebase::IndexPlace place{a->chain().layer(0).info(), a->place().id, {}};
  place.keep_in = DirectoryOf(place.master.path);
  ASSIGN(const guest::Ext4Index index, rebase::LoadOrBuildIndex(place, a->view()));
  rebase::VolumeDiffer differ(a->view(), index);
  ASSIGN(const rebase::VolumeDiff diff, differ.To(b->view(), std::move(touched)));
  for (const guest::ChangedObject& object : diff.changes.objects) {
    if (context.output.json()) {
      context.output.Record(JsonOf(object));
    } else {
      context.output.Text(TextOf(object));
    }
  }
  return ExitStatus::kDone;
}

}  // namespace

Verb AddDiff(CLI::App& program) {
  const auto options = std::make_shared<DiffOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("A", options->a, "The earlier image")->required();
  command->add_option("B", options->b, "The later image")->required();
  return {command, [options](Context& context) { return Diff(context, *options); }};
}

}  // namespace mica
