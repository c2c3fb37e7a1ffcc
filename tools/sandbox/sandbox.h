// SPDX-License-Identifier: Apache-2.0
// What a process gives up for good before it touches what it does not trust: rights, files, system
// calls, memory, time. Every function binds the whole process, all its threads and whatever it
// starts later; none can be undone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "engine/base/result.h"

namespace mica {

// Setuid programs give nothing. What follows needs it.
Result<void> ForbidNewPrivileges();

// Only these system calls, by name (those that this build's libseccomp or this architecture does
// not know are left out); others fail with EPERM.
Result<void> AllowOnlyCalls(std::span<const char* const> names);

// Reading is free. A path is a file, or a directory and everything beneath it; one that does not
// exist is left out.
struct FileRights {
  std::vector<std::filesystem::path> execute;
  std::vector<std::filesystem::path> write;
  bool write_anywhere = false;  // but devices are made nowhere
};
// As far as the kernel's Landlock goes; one without it binds nothing, and that is no error.
Result<void> AllowOnlyFiles(const FileRights& rights);

// Keeps none of root's capabilities but that of reading every file. Does nothing for other users.
Result<void> DropCapabilities();
// Keeps these only (CAP_… of linux/capability.h); kIo where one of them is not there to keep.
Result<void> KeepOnlyCapabilities(std::span<const int> capabilities);

// 0: no limit.
struct ProcessLimits {
  uint64_t memory_bytes = 0;  // address space
  uint64_t cpu_seconds = 0;
};
Result<void> SetLimits(const ProcessLimits& limits);

// Whether SetLimits can bound memory in this build: not where a sanitizer reserves terabytes.
bool MemoryCanBeLimited() noexcept;

// The process is killed when the one that started it, whose number is `parent`, has ended.
Result<void> DieWith(int parent);

}  // namespace mica
