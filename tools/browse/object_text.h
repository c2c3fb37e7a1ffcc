// SPDX-License-Identifier: Apache-2.0
// Objects of a guest volume as people and programs read them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "tools/guest/object.h"

namespace mica {

// As `ls -l` shows it: "-rwxr-xr-x".
std::string ModeText(const guest::Object& object);
// "2026-01-02 03:04:05", UTC.
std::string TimeText(const guest::Timestamp& time);
// kind, mode, uid, gid, size, mtime, inode, links, target: the fields of docs/cli.md.
nlohmann::json ToJson(const guest::Object& object);

}  // namespace mica
