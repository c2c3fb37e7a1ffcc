// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/fstab.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "engine/base/lines.h"
#include "tools/guest/text.h"

namespace mica::guest {

namespace {

constexpr size_t kEntriesMax = 1000;

// The next word of `line`, which loses it.
std::string_view TakeWord(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

bool IsOctal(std::string_view digits) {
  return digits.size() == 3 &&
         std::ranges::all_of(digits, [](char c) { return c >= '0' && c < '8'; });
}

std::string Unescape(std::string_view word) {
  std::string text;
  for (size_t at = 0; at < word.size(); ++at) {
    const std::string_view digits = word.substr(at + 1, 3);
    if (word[at] == '\\' && IsOctal(digits)) {
      text += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + (digits[2] - '0'));
      at += 3;
    } else {
      text += word[at];
    }
  }
  return text;
}

std::string_view Unquoted(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  return value;
}

bool IsDevice(std::string_view source, const VolumeId& id) {
  if (!id.logical.empty()) {
    constexpr size_t kPrefix = std::string_view("lv-").size();
    return source == "/dev/" + id.logical ||
           source == "/dev/mapper/" + id.FileKey().substr(kPrefix);
  }
  if (id.partition == 0) return false;
  constexpr std::array kDisks = {"sda", "vda", "xvda", "hda", "nvme0n1p", "mmcblk0p"};
  return std::ranges::any_of(kDisks, [&](const char* disk) {
    return source == fmt::format("/dev/{}{}", disk, id.partition);
  });
}

}  // namespace

std::vector<FstabEntry> ParseFstab(std::string_view text) {
  std::vector<FstabEntry> entries;
  while (!text.empty() && entries.size() < kEntriesMax) {
    std::string_view line = TakeLine(text);
    FstabEntry entry;
    entry.source = Unescape(TakeWord(line));
    entry.mount_point = Unescape(TakeWord(line));
    if (entry.source.empty() || entry.source.front() == '#') continue;
    if (entry.mount_point.empty() || entry.mount_point.front() != '/') continue;
    while (entry.mount_point.size() > 1 && entry.mount_point.back() == '/') {
      entry.mount_point.pop_back();
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

bool IsNamed(const FstabEntry& entry, const VolumeNames& volume) {
  const std::string_view source = entry.source;
  const size_t equals = source.find('=');
  if (equals == std::string_view::npos) return IsDevice(source, volume.id);
  const std::string_view key = source.substr(0, equals);
  const std::string_view value = Unquoted(source.substr(equals + 1));
  if (value.empty()) return false;
  if (key == "UUID") return LowerCase(value) == volume.uuid;
  if (key == "LABEL") return value == volume.label;
  if (key == "PARTUUID") return LowerCase(value) == LowerCase(volume.part_uuid);
  return key == "PARTLABEL" && value == volume.part_label;
}

}  // namespace mica::guest
