// SPDX-License-Identifier: Apache-2.0
// Names inside a guest are bytes. These make text of them that cannot write to a terminal and that
// JSON can hold.
#pragma once

#include <string>
#include <string_view>

#include "tools/guest/object.h"

namespace mica::guest {

// Whether `name` is UTF-8 without control characters.
bool IsPlainText(std::string_view name);

// What is no UTF-8, and control characters, as \xNN for each byte; backslashes doubled. Reversible.
std::string EscapeText(std::string_view name);

// The bytes that EscapeText made `text` of. What it cannot have made stays as it is.
std::string UnescapeText(std::string_view text);

// With the letters A to Z as a to z; all else stays.
std::string LowerCase(std::string_view text);

// For people: the name as it is when it is plain text, else escaped.
std::string DisplayText(std::string_view name);

// "file", "directory", "symlink", "char-device", "block-device", "fifo", "socket".
std::string_view KindName(ObjectKind kind);

}  // namespace mica::guest
