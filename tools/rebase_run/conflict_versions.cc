// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/conflict_versions.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>

#include "engine/async/sync_wait.h"
#include "formats/identity_text.h"
#include "tools/browse/guest_image.h"
#include "tools/cli/layer_view.h"
#include "tools/cli/read_pieces.h"
#include "tools/guest/path.h"
#include "tools/rebase/job/rescue.h"

namespace mica {

namespace {

using Json = nlohmann::json;
using std::filesystem::path;

class Collector {
 public:
  Collector(Context& context, const ConflictReport& report, const ReportRecord& record, path folder)
      : context_(context), report_(report), record_(record), folder_(std::move(folder)) {}

  std::vector<ConflictVersion> Run() {
    // With -o the VM's own delta has stayed where it was.
    const std::string kept = report_.Fact("kept");
    const path ours = report_.Locate(kept.empty() ? report_.Fact("vm") : kept);
    Add("base", BaseOf(ours), "base_identity");
    Add("ours", ours, nullptr);
    Add("theirs", report_.Locate(report_.Fact("onto")), "onto_identity");
    return std::move(versions_);
  }

 private:
  Result<path> BaseOf(const path& delta) {
    ASSIGN(const LayerView view,
           SyncWait(context_.loop,
                    ViewLayer(context_.host, delta, std::nullopt, LayerDetail::kBasic)));
    if (view.parent_path) return *view.parent_path;
    return Error{Errc::kNotFound, fmt::format("{}: expected a delta over the old master, found an "
                                              "image without a parent",
                                              delta.string())};
  }

  void Add(const char* name, const Result<path>& image, const char* identity) {
    ConflictVersion version{name, folder_ / name, {}};
    const Result<void> made = record_.SavedText("side") == name ? CopySaved(version.file)
                              : image ? Extract(*image, identity, version.file)
                                      : Result<void>(image.error());
    if (!made) {
      version.missing = made.error().message;
      std::error_code ignored;
      std::filesystem::remove(version.file, ignored);
    }
    versions_.push_back(std::move(version));
  }

  Result<void> CopySaved(const path& file) {
    ASSIGN(const UniqueFd saved, report_.OpenSaved(record_));
    std::ofstream copy(file, std::ios::binary);
    TRY(ReadPieces(saved.get(), record_.Text("saved"),
                   [&copy](std::string_view piece) -> Result<void> {
                     copy << piece;
                     return {};
                   }));
    copy.close();
    if (!copy) return ErrnoError(errno, "write " + file.string());
    return {};
  }

  // `identity`: the member of the summary that says which image it was.
  Result<void> Extract(const path& image, const char* identity, const path& file) {
    ImageSpec spec{image.string(), std::nullopt};
    if (!record_.Volume().empty()) spec.volume = guest::VolumeId::Parse(record_.Volume());
    ASSIGN(const std::unique_ptr<GuestImage> opened, GuestImage::Open(context_, spec));
    if (identity != nullptr) TRY(CheckIdentity(opened->chain(), image, identity));
    guest::Volume& volume = opened->volume();
    Error missing{Errc::kNotFound, fmt::format("not in {}", image.string())};
    for (const std::string& name : record_.Paths()) {
      const Result<uint64_t> inode =
          guest::ResolvePath(volume, record_.PathInVolume(name), guest::FinalSymlink::kKeep);
      if (inode) {
        TRY(rebase::CopyContent(volume, *inode, file));
        return {};
      }
      if (inode.error().code != Errc::kNotFound) return inode.error();
    }
    return missing;
  }

  Result<void> CheckIdentity(ImageChain& chain, const path& image, const char* identity) {
    const Json::json_pointer at(fmt::format("/{}/uuid", identity));
    const std::string expected = report_.summary().value(at, "");
    const std::optional<LayerIdentity>& found = chain.layer(0).info().identity;
    if (found && UuidText(found->uuid) == expected) return {};
    return Error{Errc::kMismatch,
                 fmt::format("{}: expected the image with uuid {}, as it was at the rebase, found "
                             "{}",
                             image.string(), expected, found ? UuidText(found->uuid) : "another")};
  }

  Context& context_;
  const ConflictReport& report_;
  const ReportRecord& record_;
  path folder_;
  std::vector<ConflictVersion> versions_;
};

}  // namespace

std::string ResultOf(const ConflictReport& report) {
  const std::string delta = report.Fact("delta");
  return delta.empty() ? report.Fact("quarantined") : delta;
}

Result<std::vector<ConflictVersion>> CollectVersions(Context& context, const ConflictReport& report,
                                                     const ReportRecord& record,
                                                     const path& folder) {
  if (::mkdir(folder.c_str(), 0700) != 0) {
    return ErrnoError(errno, fmt::format("create directory {}", folder.string()));
  }
  return Collector(context, report, record, folder).Run();
}

}  // namespace mica
