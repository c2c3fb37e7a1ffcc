// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/pack_in_place.h"

#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "formats/identity_text.h"
#include "tools/cli/layer_view.h"
#include "tools/cli/progress.h"
#include "tools/cli/temporary_file.h"

namespace mica {

namespace {

// The file behind a symbolic link, which is to stay a link.
Result<std::filesystem::path> RealFile(const std::filesystem::path& file) {
  std::error_code failed;
  std::filesystem::path real = std::filesystem::canonical(file, failed);
  if (failed) return ErrnoError(failed.value(), file.native());
  return real;
}

// The new file is for those whom the old one was for. Only root can give a file away; otherwise it
// belongs to whoever runs this, as a copy would.
Result<void> TakeOverAttributes(const std::filesystem::path& from,
                                const std::filesystem::path& to) {
  struct stat stat{};
  if (::stat(from.c_str(), &stat) != 0) return ErrnoError(errno, from.native());
  const bool given_away = ::chown(to.c_str(), stat.st_uid, stat.st_gid) == 0;
  const mode_t mode = stat.st_mode & 07777;
  // Without the owner, no rights that were meant for that one.
  if (::chmod(to.c_str(), given_away ? mode : mode & 0777) != 0) {
    return ErrnoError(errno, to.native());
  }
  return {};
}

// Nobody may have put another image under the name meanwhile.
Async<void> CheckStillThere(Host& host, std::filesystem::path file, LayerIdentity identity) {
  const std::optional<std::string> probe;
  CO_ASSIGN(const LayerView view, co_await ViewLayer(host, file, probe, LayerDetail::kBasic));
  if (view.info.identity == identity) co_return Result<void>();
  co_return Error{
      Errc::kMismatch,
      fmt::format("{}: expected {}, found {}; somebody has replaced the file while it "
                  "was compressed, and it was left alone",
                  file.native(), IdentityText(identity), IdentityText(view.info.identity))};
}

}  // namespace

Async<PackTotals> PackInPlace(Context& context, PackRequest request) {
  CO_ASSIGN(const std::filesystem::path file, RealFile(request.file));
  ProgressTotals goal;
  Progress progress(context.progress, "compress", goal);
  request.options.threads = std::clamp(std::thread::hardware_concurrency(), 2u, 16u);
  request.options.on_progress = [&progress](const PackTotals& totals) {
    progress.SetGoal({.bytes = totals.goal_bytes});
    progress.Update({.bytes = totals.content_bytes});
  };
  TemporaryFile packed(file);
  const Result<PackTotals> totals =
      co_await request.format->Pack(context.host, file, packed.path(), request.options);
  if (!totals) co_return packed.InTermsOfDestination(totals.error());
  CO_TRY(co_await CheckStillThere(context.host, file, request.identity));
  CO_TRY(co_await CheckStillThere(context.host, packed.path(), request.identity));
  CO_TRY(TakeOverAttributes(file, packed.path()));
  CO_TRY(co_await packed.Publish(context.host, OnExisting::kReplaceInUse));
  progress.Finish({.bytes = totals->content_bytes});
  co_return *totals;
}

}  // namespace mica
