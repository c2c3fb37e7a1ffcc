// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>

#include "engine/snapshot_control.h"

namespace mica {

// A table for people, a line for each, with a heading.
std::string SnapshotLines(std::span<const SnapshotInfo> snapshots);

}  // namespace mica
