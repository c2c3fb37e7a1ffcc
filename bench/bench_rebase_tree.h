// SPDX-License-Identifier: Apache-2.0
// A large tree for measuring rebases, and changes to it such as a VM or a patch makes, by ordinary
// system calls on a mounted image. The same seed gives the same tree.
#pragma once

#include <cstdint>
#include <filesystem>

namespace mica::bench {

// `files` of 1 to 15 KiB in directories of 30, two directories with a tenth and a twentieth of the
// files, and two files of 64 MiB. False when the file system refuses something.
bool MakeTree(const std::filesystem::path& root, uint64_t files, uint64_t seed);

// About `count` operations: a third creations, the rest replacements, edits in place, renames,
// moved directories, deletions, links, modes and extended attributes.
bool ChangeTree(const std::filesystem::path& root, uint64_t count, uint64_t seed);

}  // namespace mica::bench
