// SPDX-License-Identifier: Apache-2.0
#include "tools/browse/object_text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "tools/guest/text.h"

namespace mica {

using guest::ObjectKind;

namespace {

char KindLetter(ObjectKind kind) {
  constexpr std::string_view kLetters = "-dlcbps";
  return kLetters[static_cast<size_t>(kind)];
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

nlohmann::json ToJson(const guest::Object& object) {
  nlohmann::json json = {
      {"kind", guest::KindName(object.kind)},
      {"inode", object.id.inode},
      {"mode", fmt::format("{:04o}", object.attributes.mode)},
      {"uid", object.attributes.uid},
      {"gid", object.attributes.gid},
      {"size", object.size},
      {"links", object.link_count},
      {"mtime", TimeText(object.attributes.modified)},
  };
  if (object.kind == ObjectKind::kSymlink)
    json["target"] = guest::DisplayText(object.symlink_target);
  if (object.kind == ObjectKind::kCharDevice || object.kind == ObjectKind::kBlockDevice) {
    json["device"] = fmt::format("{}:{}", object.device_major, object.device_minor);
  }
  return json;
}

}  // namespace mica
