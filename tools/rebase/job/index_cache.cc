// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/index_cache.h"

#include <fmt/format.h>

#include "formats/identity_text.h"
#include "tools/guest/ext4/index_codec.h"
#include "tools/rebase/job/cache_file.h"

namespace mica::rebase {

namespace {

using std::filesystem::path;

path FileOf(const IndexPlace& place) {
  return fmt::format("{}.{}.index", place.master.path, place.volume.FileKey());
}

std::string LabelOf(const IndexPlace& place) {
  return fmt::format("{} {}", IdentityText(place.master.identity), place.volume.Name());
}

std::optional<guest::Ext4Index> Load(const IndexPlace& place) {
  const std::optional<std::vector<char>> bytes = ReadCacheFile(FileOf(place));
  if (!bytes) return std::nullopt;
  Result<guest::StoredIndex> stored = guest::DecodeIndex(std::as_bytes(std::span(*bytes)));
  if (!stored || stored->label != LabelOf(place)) return std::nullopt;
  return std::move(stored->index);
}

}  // namespace

Result<guest::Ext4Index> LoadOrBuildIndex(const IndexPlace& place, guest::Ext4View& view) {
  const bool can_be_kept = place.master.identity && view.replayed().empty();
  if (can_be_kept) {
    if (std::optional<guest::Ext4Index> kept = Load(place)) return std::move(*kept);
  }
  ASSIGN(guest::Ext4Index index, guest::BuildIndex(view.volume().fs(), view.volume().io()));
  if (can_be_kept && !place.keep_in.empty()) {
    KeepCacheFile(place.keep_in / FileOf(place).filename(),
                  guest::EncodeIndex(index, LabelOf(place)));
  }
  return index;
}

}  // namespace mica::rebase
