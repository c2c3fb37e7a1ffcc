// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase_run/vm_holder.h"

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

#include "engine/async/sync_wait.h"
#include "engine/snapshot_control.h"
#include "formats/open_chain.h"
#include "tools/cli/layer_view.h"
#include "tools/rebase/job/staged.h"

namespace mica {

namespace {

using nlohmann::json;

using SnapshotWork = std::function<Result<void>(SnapshotControl&)>;

// On an image that nobody has open.
Result<void> WithSnapshots(const Context& context, const std::string& vm,
                           const SnapshotWork& work) {
  OpenChainOptions open;
  open.writable = true;
  Result<std::unique_ptr<ImageChain>> opened =
      SyncWait(context.loop, OpenChain(context.host, vm, open));
  if (!opened) return WithControlHelp(std::move(opened).error());
  const std::unique_ptr<ImageChain> chain = *std::move(opened);
  SnapshotControl* const control = chain->layer(0).controls().snapshots;
  Result<void> done = Error{Errc::kUnsupported, vm + ": this format keeps no snapshots"};
  if (control != nullptr) done = work(*control);
  const Result<void> closed = SyncWait(context.loop, chain->Close());
  TRY(done);
  return closed;
}

bool IsSameFile(const std::string& a, const std::string& b) {
  std::error_code failed;
  return std::filesystem::equivalent(a, b, failed);
}

}  // namespace

Error WithControlHelp(Error error) {
  if (error.code == Errc::kBusy) {
    error.message += "; of a VM that `mica serve` exports, --control names the server's socket";
  }
  return error;
}

Result<VmHolder> VmHolder::Find(const Context& context, const std::string& vm,
                                const std::string& control) {
  VmHolder holder(context, vm);
  if (control.empty()) return holder;
  ASSIGN(ControlClient server, ControlClient::Connect(control));
  ASSIGN(const json answer, server.Ask({{"command", "list"}}));
  for (const json& one : answer.value("exports", json::array())) {
    if (!IsSameFile(one.value("path", ""), vm)) continue;
    holder.export_name_ = one.value("name", "");
    holder.server_ = std::move(server);
    break;
  }
  return holder;
}

Result<void> VmHolder::TakeSnapshot(const std::string& name) {
  if (server_) {
    TRY(server_->Ask({{"command", "snapshot"}, {"name", export_name_}, {"snapshot", name}}));
    return {};
  }
  return WithSnapshots(*context_, vm_, [&](SnapshotControl& control) -> Result<void> {
    TRY(SyncWait(context_->loop, control.Create(name)));
    return {};
  });
}

Result<void> VmHolder::DeleteSnapshot(const std::string& name) {
  if (server_) {
    TRY(server_->Ask({{"command", "delete-snapshot"}, {"name", export_name_}, {"snapshot", name}}));
    return {};
  }
  return WithSnapshots(*context_, vm_, [&](SnapshotControl& control) {
    return SyncWait(context_->loop, control.Delete(name));
  });
}

Result<void> VmHolder::DeleteStaleSnapshots() {
  ASSIGN(const LayerView view, SyncWait(context_->loop, ViewLayer(context_->host, vm_, std::nullopt,
                                                                  LayerDetail::kBasic)));
  for (const SnapshotInfo& snapshot : view.snapshots) {
    const auto delta = rebase::StagedDeltaOf(vm_, snapshot.name);
    if (!delta || SyncWait(context_->loop, context_->host.Stat(*delta))) continue;
    TRY(DeleteSnapshot(snapshot.name));
  }
  return {};
}

Result<void> VmHolder::Hold(std::chrono::seconds wait) {
  if (!server_) return {};
  TRY(server_->Ask({{"command", "hold"}, {"name", export_name_}, {"seconds", wait.count()}}));
  return {};
}

Result<void> VmHolder::Release() {
  if (!server_) return {};
  TRY(server_->Ask({{"command", "release"}, {"name", export_name_}}));
  return {};
}

}  // namespace mica
