// SPDX-License-Identifier: Apache-2.0
// The parts of JSON output that several verbs share. Field names are documented in docs/cli.md and
// are those of qemu-img where the meaning is the same.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "engine/layer.h"
#include "tools/cli/layer_view.h"

namespace mica {

nlohmann::json ToJson(const LayerIdentity& identity);
nlohmann::json ToJson(const LayerView& view);
nlohmann::json ToJson(const SnapshotInfo& snapshot);

}  // namespace mica
