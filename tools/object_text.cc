// SPDX-License-Identifier: Apache-2.0
#include "tools/object_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace mica {

using guest::ObjectKind;

std::string_view KindName(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kRegular:
      return "file";
    case ObjectKind::kDirectory:
      return "directory";
    case ObjectKind::kSymlink:
      return "symlink";
    case ObjectKind::kCharDevice:
      return "char-device";
    case ObjectKind::kBlockDevice:
      return "block-device";
    case ObjectKind::kFifo:
      return "fifo";
    case ObjectKind::kSocket:
      return "socket";
  }
  return "unknown";
}

namespace {

char KindLetter(ObjectKind kind) {
  constexpr std::string_view kLetters = "-dlcbps";
  return kLetters[static_cast<size_t>(kind)];
}

// The length of the valid UTF-8 sequence at the start of `text`; 0 when there is none.
size_t Utf8Length(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  const size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (length == 0 || lead > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  if (length == 3 && lead == 0xe0 && at(1) < 0xa0) return 0;  // overlong
  if (length == 3 && lead == 0xed && at(1) > 0x9f) return 0;  // a surrogate
  if (length == 4 && lead == 0xf0 && at(1) < 0x90) return 0;  // overlong
  if (length == 4 && lead == 0xf4 && at(1) > 0x8f) return 0;  // beyond U+10FFFF
  return length;
}

}  // namespace

std::string ModeText(const guest::Object& object) {
  const uint32_t mode = object.attributes.mode;
  std::string text(1, KindLetter(object.kind));
  for (int shift = 6; shift >= 0; shift -= 3) {
    const uint32_t bits = mode >> shift;
    text += (bits & 4) != 0 ? 'r' : '-';
    text += (bits & 2) != 0 ? 'w' : '-';
    text += (bits & 1) != 0 ? 'x' : '-';
  }
  const auto special = [&](uint32_t bit, size_t at, char letter) {
    if ((mode & bit) == 0) return;
    const bool executable = text[at] == 'x';
    text[at] = executable ? letter : static_cast<char>(letter - 'a' + 'A');
  };
  special(04000, 3, 's');
  special(02000, 6, 's');
  special(01000, 9, 't');
  return text;
}

std::string TimeText(const guest::Timestamp& time) {
  // gmtime knows years of four digits and then some; a guest's time may be anything.
  constexpr int64_t kYear9999 = 253402300799;
  if (time.seconds < 0 || time.seconds > kYear9999) return fmt::format("@{}", time.seconds);
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::gmtime(static_cast<std::time_t>(time.seconds)));
}

std::string EscapeName(std::string_view name) {
  std::string text;
  while (!name.empty()) {
    const size_t length = Utf8Length(name);
    const auto first = static_cast<unsigned char>(name.front());
    if (name.front() == '\n') {
      text += "\\n";
    } else if (name.front() == '\\') {
      text += "\\\\";
    } else if (length == 0 || first < 0x20 || first == 0x7f ||
               (first == 0xc2 && static_cast<unsigned char>(name[1]) < 0xa0)) {
      text += fmt::format("\\x{:02x}", first);
      name.remove_prefix(1);
      continue;
    } else {
      text += name.substr(0, length);
    }
    name.remove_prefix(std::max<size_t>(length, 1));
  }
  return text;
}

nlohmann::json ToJson(const guest::Object& object) {
  nlohmann::json json = {
      {"kind", KindName(object.kind)},
      {"inode", object.id.inode},
      {"mode", fmt::format("{:04o}", object.attributes.mode)},
      {"uid", object.attributes.uid},
      {"gid", object.attributes.gid},
      {"size", object.size},
      {"links", object.link_count},
      {"mtime", TimeText(object.attributes.modified)},
  };
  if (object.kind == ObjectKind::kSymlink) json["target"] = EscapeName(object.symlink_target);
  if (object.kind == ObjectKind::kCharDevice || object.kind == ObjectKind::kBlockDevice) {
    json["device"] = fmt::format("{}:{}", object.device_major, object.device_minor);
  }
  return json;
}

}  // namespace mica
