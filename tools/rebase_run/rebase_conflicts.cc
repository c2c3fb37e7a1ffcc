// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/rebase_conflicts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/cli/read_pieces.h"
#include "tools/rebase_run/conflict_report.h"
#include "tools/rebase_run/conflict_versions.h"

namespace mica {

namespace {

using Json = nlohmann::json;

std::string SideText(const char* who, const std::string& words) {
  return fmt::format("{}: {}", who, words.empty() ? "unchanged" : words);
}

// Where the loser is; empty when there is none to keep.
std::string LoserText(const ConflictReport& report, const ReportRecord& record) {
  std::string text;
  if (const std::string saved = record.Text("saved"); !saved.empty()) {
    const std::string side = record.SavedText("side");
    text += fmt::format("        {} version saved as {}\n", side.empty() ? "losing" : side,
                        report.Locate(saved).string());
  }
  if (const std::string beside = record.Text("saved_beside"); !beside.empty()) {
    text += fmt::format("        losing version beside it, in the image, as {}\n", beside);
  }
  return text;
}

std::string ConflictText(const ConflictReport& report, const ReportRecord& record) {
  const std::string topic = record.Text("topic");
  const bool object = topic == "object";
  std::string text =
      fmt::format("{:<7} {}{}: {}", record.Text("severity"), object ? "" : topic + " ",
                  record.Text("path"), record.Text("action"));
  if (const std::string volume = record.Volume(); !volume.empty()) {
    text += fmt::format(" (volume {})", volume);
  }
  text += "\n";
  if (object) {
    text += fmt::format("        {}; {}\n", SideText("VM", record.Words("ours")),
                        SideText("patch", record.Words("theirs")));
  }
  for (const char* const member : {"detail", "rule"}) {
    const std::string value = record.Text(member);
    if (value.empty()) continue;
    text += fmt::format("        {}{}\n", member == std::string_view("rule") ? "rule " : "", value);
  }
  return text + LoserText(report, record);
}

void List(Output& output, const ConflictReport& report, const std::string& name) {
  const std::vector<const ReportRecord*> conflicts = report.Conflicts();
  size_t saved = 0;
  for (const ReportRecord* const record : conflicts) {
    saved += record->json().contains("saved") ? 1 : 0;
    if (output.json()) {
      output.Record(record->json());
    } else {
      output.Text(ConflictText(report, *record));
    }
  }
  if (output.json()) {
    output.Record({{"summary", {{"conflicts", conflicts.size()}, {"saved", saved}}}});
  } else {
    output.Note(fmt::format("{} conflicts, {} losing versions saved{}", conflicts.size(), saved,
                            saved == 0 ? ""
                                       : fmt::format("; mica rebase --show-conflict {} PATH "
                                                     "prints one",
                                                     name)));
  }
}

// Why a record has no saved version, and what helps.
Error NothingSaved(const ConflictReport& report, const ReportRecord& record) {
  const std::string path = record.Text("path");
  if (const std::string beside = record.Text("saved_beside"); !beside.empty()) {
    const std::string name = record.PathInVolume(path.substr(0, path.rfind('/') + 1) + beside);
    std::string image = report.Locate(ResultOf(report)).string();
    if (!record.Volume().empty()) image += ":" + record.Volume();
    return Error{Errc::kNotFound,
                 fmt::format("{}: expected a version saved outside of the image, found that a rule "
                             "had it put beside the file, as {}; mica cat {} {}",
                             path, beside, image, name)};
  }
  const std::string detail = record.Text("detail");
  return Error{Errc::kNotFound,
               fmt::format("{}: expected a version that lost, found none: {}{}{}", path,
                           record.Text("action"), detail.empty() ? "" : ", ", detail)};
}

Result<void> ShowLoser(Output& output, const ConflictReport& report, const ReportRecord& record) {
  if (!record.json().contains("saved")) return NothingSaved(report, record);
  ASSIGN(const UniqueFd fd, report.OpenSaved(record));
  const std::string file = report.Locate(record.Text("saved")).string();
  if (record.SavedText("digest").empty()) {
    output.Note(fmt::format("{}: the report has no digest to check it with", file));
  }
  if (!output.json()) {
    return ReadPieces(fd.get(), file, [&output](std::string_view piece) -> Result<void> {
      output.Raw(piece);
      return {};
    });
  }
  Json document = record.json();
  document["file"] = file;
  output.Document(document);
  return {};
}

void Tell(Output& output, const std::vector<ConflictVersion>& versions) {
  Json list = Json::array();
  for (const ConflictVersion& version : versions) {
    if (output.json()) {
      Json entry = {{"version", version.name}, {"file", version.file.string()}};
      if (!version.missing.empty())
        entry = {{"version", version.name}, {"missing", version.missing}};
      list.push_back(std::move(entry));
    } else if (version.missing.empty()) {
      output.Text(fmt::format("{:<7} {}\n", version.name, version.file.string()));
    } else {
      output.Text(fmt::format("{:<7} none: {}\n", version.name, version.missing));
    }
  }
  if (output.json()) output.Document({{"versions", std::move(list)}});
}

}  // namespace

Result<ExitStatus> ShowConflict(Context& context, const ConflictRequest& request) {
  ASSIGN(const ConflictReport report, ConflictReport::Read(request.report));
  if (request.path.empty()) {
    List(context.output, report, request.report);
    return ExitStatus::kDone;
  }
  ASSIGN(const ReportRecord* const record, report.Find(request.path));
  if (request.folder.empty()) {
    TRY(ShowLoser(context.output, report, *record));
    return ExitStatus::kDone;
  }
  ASSIGN(const std::vector<ConflictVersion> versions,
         CollectVersions(context, report, *record, request.folder));
  Tell(context.output, versions);
  return ExitStatus::kDone;
}

}  // namespace mica
