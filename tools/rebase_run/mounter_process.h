// SPDX-License-Identifier: Apache-2.0
// The mounter of a worker: another process of this program, with root's rights, which mounts what
// the worker serves (tools/guest/mounted/). The worker starts it before it gives its own rights up.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/async/event_loop.h"
#include "tools/cli/verb.h"
#include "tools/guest/disk.h"
#include "tools/guest/mounted/mounter.h"

namespace mica {

// "xfs,btrfs" as kinds of volumes; kInvalidArgument for others.
Result<std::vector<guest::VolumeKind>> ParseMountKinds(const std::vector<std::string>& names);

class MounterProcess {
 public:
  // kUnsupported, naming what is missing, where this process or this host cannot mount.
  static Result<std::unique_ptr<MounterProcess>> Start(EventLoop& loop, bool sandbox);
  MounterProcess(const MounterProcess&) = delete;
  MounterProcess& operator=(const MounterProcess&) = delete;
  // Waits for its end: then nothing of it is left.
  ~MounterProcess();

  [[nodiscard]] guest::Mounter& mounter() noexcept { return *mounter_; }

 private:
  explicit MounterProcess(pid_t process) : process_(process) {}

  pid_t process_;
  std::unique_ptr<guest::Mounter> mounter_;
};

// The verb that starts as a mounter. Declared here, as it is not for people.
Verb AddMounter(CLI::App& program);

}  // namespace mica
