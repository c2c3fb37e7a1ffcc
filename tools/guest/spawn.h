// SPDX-License-Identifier: Apache-2.0
// Starts a program with chosen descriptors and a fixed environment (PATH and LC_ALL), no shell.
#pragma once

#include <spawn.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "engine/base/result.h"

namespace mica::guest {

// The child has the descriptors it is given and those of ours without close-on-exec; no signal is
// blocked in it.
class Spawn {
 public:
  Spawn();
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;
  ~Spawn();

  // `fd` is ours and stays open; it must not be a number that another is given as.
  void Give(int fd, int as) { ::posix_spawn_file_actions_adddup2(&actions_, fd, as); }
  void GiveNothing(int as);  // reads end at once
  // A process group of its own, so that it is killed with everything it starts.
  void LeadGroup();

  // `words` are its name and its arguments. `program` is a path.
  Result<pid_t> Start(const std::string& program, std::vector<std::string> words);

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
  short flags_ = POSIX_SPAWN_SETSIGMASK;
};

}  // namespace mica::guest
