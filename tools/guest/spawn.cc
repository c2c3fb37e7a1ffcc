// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/spawn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>

#include <array>

namespace mica::guest {

Spawn::Spawn() {
  ::posix_spawn_file_actions_init(&actions_);
  ::posix_spawnattr_init(&attributes_);
  sigset_t none;
  sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes_, &none);
}

Spawn::~Spawn() {
  ::posix_spawnattr_destroy(&attributes_);
  ::posix_spawn_file_actions_destroy(&actions_);
}

void Spawn::GiveNothing(int as) {
  ::posix_spawn_file_actions_addopen(&actions_, as, "/dev/null", O_RDONLY, 0);
}

void Spawn::LeadGroup() {
  ::posix_spawnattr_setpgroup(&attributes_, 0);
  flags_ |= POSIX_SPAWN_SETPGROUP;
}

Result<pid_t> Spawn::Start(const std::string& program, std::vector<std::string> words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  std::array<std::string, 2> settings = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  char* environment[] = {settings[0].data(), settings[1].data(), nullptr};
  ::posix_spawnattr_setflags(&attributes_, flags_);
  pid_t child = 0;
  const int failed =
      ::posix_spawn(&child, program.c_str(), &actions_, &attributes_, pointers.data(), environment);
  if (failed != 0) return ErrnoError(failed, fmt::format("starting {}", program));
  return child;
}

}  // namespace mica::guest
