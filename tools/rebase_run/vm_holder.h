// SPDX-License-Identifier: Apache-2.0
// Whoever has a VM's image open: a server, which is asked on its control socket, or nobody. What a
// rebase needs of the image while the VM runs and when it stops.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "tools/cli/verb.h"
#include "tools/serve/control_client.h"

namespace mica {

// What helps when somebody has the image, added to an error that says so.
Error WithControlHelp(Error error);

// Borrows the context.
class VmHolder {
 public:
  // `control`: the socket of a server that may export the image; empty: none.
  static Result<VmHolder> Find(const Context& context, const std::string& vm,
                               const std::string& control);

  // Whether a server has the image.
  [[nodiscard]] bool is_served() const noexcept { return server_.has_value(); }

  // Keeps the disk as it is in its image, while it is used.
  Result<void> TakeSnapshot(const std::string& name);
  // Forgets the states that were staged (tools/rebase/job/staged.h) and whose delta is not there.
  Result<void> DeleteStaleSnapshots();

  // The server closes the image when its last client has left, for which it waits that long, and
  // lets new ones wait until Release. kBusy when there are clients still. Nothing to do without a
  // server.
  Result<void> Hold(std::chrono::seconds wait);
  // The server exports what has that name then. Also done when this process ends.
  Result<void> Release();

 private:
  VmHolder(const Context& context, std::string vm) : context_(&context), vm_(std::move(vm)) {}
  Result<void> DeleteSnapshot(const std::string& name);

  const Context* context_;
  std::string vm_;
  std::optional<ControlClient> server_;  // only when it exports the image
  std::string export_name_;
};

}  // namespace mica
