// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/check.h"

#include <fmt/format.h>

#include <thread>

#include "tools/guest/child_process.h"
#include "tools/guest/mounted/mounted_view.h"

namespace mica::guest {

namespace {

// The loop has to turn meanwhile: it has the bytes that the program reads.
Result<ChildResult> RunBeside(EventLoop& loop, const ChildRequest& request) {
  Result<ChildResult> result = ChildResult();
  bool done = false;
  std::thread runner([&] {
    result = RunChild(request);
    loop.PostFromAnyThread([&done] { done = true; });
  });
  loop.RunUntil([&done] { return done; });
  runner.join();
  return result;
}

std::vector<std::string> ProgramFor(VolumeKind kind, const std::string& path) {
  if (kind == VolumeKind::kXfs) return {"xfs_repair", "-n", "-f", path};
  return {"btrfs", "check", "--readonly", path};
}

}  // namespace

Result<CheckReport> CheckMounted(Mounter& mounter, BlockDevice& volume, VolumeKind kind) {
  ASSIGN(const std::unique_ptr<VolumeFile> served, VolumeFile::Attach(mounter, volume));
  CheckReport report;
  {
    ASSIGN(const UniqueFd file, served->Open());
    ChildRequest request;
    request.inherited_fd = file.get();
    request.arguments = ProgramFor(kind, fmt::format("/proc/self/fd/{}", ChildRequest::kChildFd));
    request.timeout = CheckOptions().timeout;
    Result<ChildResult> result = RunBeside(mounter.loop(), request);
    if (!result && result.error().code == Errc::kNotFound) {
      return Error{Errc::kNotFound,
                   fmt::format("{}; it checks what was made: install {}, or leave the check out "
                               "with --skip-check",
                               result.error().message,
                               kind == VolumeKind::kXfs ? "xfsprogs" : "btrfs-progs")};
    }
    TRY(result);
    report.clean = result->exit_status == 0;
    report.text = std::move(result->output);
  }
  TRY(served->Detach());
  return report;
}

}  // namespace mica::guest
