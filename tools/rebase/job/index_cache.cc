// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/index_cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "formats/identity_text.h"
#include "tools/guest/ext4/index_codec.h"

namespace mica::rebase {

namespace {

using std::filesystem::path;

constexpr uint64_t kIndexBytesMax = uint64_t{4} << 30;

path FileOf(const IndexPlace& place) {
  return fmt::format("{}.p{}.index", place.master.path, place.partition);
}

std::string LabelOf(const IndexPlace& place) {
  return fmt::format("{} partition {}", IdentityText(place.master.identity), place.partition);
}

std::optional<guest::Ext4Index> Load(const IndexPlace& place) {
  std::error_code failed;
  const uint64_t size = std::filesystem::file_size(FileOf(place), failed);
  if (failed || size > kIndexBytesMax) return std::nullopt;
  std::vector<char> bytes(size);
  std::ifstream file(FileOf(place), std::ios::binary);
  if (!file.read(bytes.data(), static_cast<std::streamsize>(size))) return std::nullopt;
  Result<guest::StoredIndex> stored = guest::DecodeIndex(std::as_bytes(std::span(bytes)));
  if (!stored || stored->label != LabelOf(place)) return std::nullopt;
  return std::move(stored->index);
}

// Complete or not at all: another rebase may be reading it. Durability does not matter.
void Keep(const IndexPlace& place, const guest::Ext4Index& index) {
  const std::vector<std::byte> bytes = guest::EncodeIndex(index, LabelOf(place));
  path temporary = FileOf(place);
  temporary += fmt::format(".{}", ::getpid());
  std::ofstream file(temporary, std::ios::binary);
  const std::string_view text = AsText(bytes);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  std::error_code failed;
  if (file) std::filesystem::rename(temporary, FileOf(place), failed);
  if (!file || failed) std::filesystem::remove(temporary, failed);
}

}  // namespace

Result<guest::Ext4Index> LoadOrBuildIndex(const IndexPlace& place, guest::Ext4View& view) {
  const bool can_be_kept = place.master.identity && view.replayed().empty();
  if (can_be_kept) {
    if (std::optional<guest::Ext4Index> kept = Load(place)) return std::move(*kept);
  }
  ASSIGN(guest::Ext4Index index, guest::BuildIndex(view.volume().fs(), view.volume().io()));
  if (can_be_kept) Keep(place, index);
  return index;
}

}  // namespace mica::rebase
