// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/patch_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "engine/digest.h"
#include "formats/identity_text.h"
#include "tools/guest/change_set_codec.h"
#include "tools/rebase/job/cache_file.h"

namespace mica::rebase {

namespace {

// header: magic · label (u32 length, bytes) · method u8
// payload: change set · pairs of the lineage (count u64, base and later inode u64 each)
// trailer: XXH3-128 over everything before it
constexpr std::string_view kMagic = "micapch1";
constexpr size_t kDigestBytes = 16;
constexpr size_t kPairBytes = 16;

bool CanBeKept(const PatchPlace& place) {
  return place.base.identity && place.target.identity;
}

std::filesystem::path FileOf(const PatchPlace& place) {
  return fmt::format("{}.{}.from-{}.changes", place.target.path, place.volume.FileKey(),
                     UuidText(place.base.identity->uuid));
}

std::string PiecesText(const std::vector<ByteRange>& pieces) {
  std::string text;
  for (const ByteRange& piece : pieces) text += fmt::format(" {}+{}", piece.offset, piece.length);
  return text;
}

std::string LabelOf(const PatchPlace& place) {
  return fmt::format("{} at{} -> {} at{}", IdentityText(place.base.identity),
                     PiecesText(place.base_pieces), IdentityText(place.target.identity),
                     PiecesText(place.target_pieces));
}

std::array<uint8_t, kDigestBytes> DigestOf(ConstBytes bytes) {
  StreamDigest digest;
  digest.Update(bytes);
  return digest.Finish();
}

// The payload of an undamaged file of ours.
std::optional<ConstBytes> Payload(ConstBytes bytes) {
  if (bytes.size() < kMagic.size() + kDigestBytes) return std::nullopt;
  if (AsText(bytes.first(kMagic.size())) != kMagic) return std::nullopt;
  const auto digest = DigestOf(bytes.first(bytes.size() - kDigestBytes));
  if (!std::ranges::equal(std::as_bytes(std::span(digest)), bytes.last(kDigestBytes))) {
    return std::nullopt;
  }
  return bytes.subspan(kMagic.size(), bytes.size() - kMagic.size() - kDigestBytes);
}

// What a lineage by path said when it was kept.
class StoredLineage final : public Lineage {
 public:
  void Add(uint64_t base, uint64_t later) {
    later_[base] = later;
    base_[later] = base;
  }
  [[nodiscard]] std::optional<uint64_t> Of(uint64_t base_inode) const override {
    return Find(later_, base_inode);
  }
  [[nodiscard]] std::optional<uint64_t> BaseOf(uint64_t inode) const override {
    return Find(base_, inode);
  }

 private:
  using Map = std::unordered_map<uint64_t, uint64_t>;
  static std::optional<uint64_t> Find(const Map& map, uint64_t inode) {
    const auto at = map.find(inode);
    return at == map.end() ? std::nullopt : std::optional(at->second);
  }

  Map later_;
  Map base_;
};

std::unique_ptr<StoredLineage> TakeLineage(guest::ByteReader& in) {
  auto lineage = std::make_unique<StoredLineage>();
  for (size_t left = in.TakeCount(kPairBytes); left > 0; --left) {
    const auto base = in.Take<uint64_t>();
    lineage->Add(base, in.Take<uint64_t>());
  }
  return lineage;
}

void PutLineage(const VolumeDiff& diff, uint64_t base_inodes, guest::ByteWriter& out) {
  std::vector<std::pair<uint64_t, uint64_t>> pairs;
  if (diff.method == DiffMethod::kWalkByPath) {
    for (uint64_t base = 1; base <= base_inodes; ++base) {
      if (const auto later = diff.lineage->Of(base)) pairs.emplace_back(base, *later);
    }
  }
  out.Put(uint64_t{pairs.size()});
  for (const auto& [base, later] : pairs) {
    out.Put(base);
    out.Put(later);
  }
}

}  // namespace

std::optional<VolumeDiff> LoadPatch(const PatchPlace& place) {
  if (!CanBeKept(place)) return std::nullopt;
  const std::optional<std::vector<char>> file = ReadCacheFile(FileOf(place));
  if (!file) return std::nullopt;
  const std::optional<ConstBytes> payload = Payload(std::as_bytes(std::span(*file)));
  if (!payload) return std::nullopt;
  guest::ByteReader in(*payload);
  if (in.TakeText() != LabelOf(place)) return std::nullopt;
  const auto method = in.Take<uint8_t>();
  if (method > static_cast<uint8_t>(DiffMethod::kWalkByPath)) return std::nullopt;
  VolumeDiff diff;
  diff.method = static_cast<DiffMethod>(method);
  Result<guest::ChangeSet> changes = guest::DecodeChangeSet(in);
  std::unique_ptr<StoredLineage> lineage = TakeLineage(in);
  if (!changes || !in.at_end()) return std::nullopt;
  diff.changes = std::move(*changes);
  if (diff.method == DiffMethod::kWalkByPath) {
    diff.lineage = std::move(lineage);
  } else {
    diff.lineage = std::make_unique<SameInodeLineage>();
  }
  return diff;
}

void KeepPatch(const PatchPlace& place, const VolumeDiff& diff, uint64_t base_inodes) {
  if (!CanBeKept(place) || place.keep_in.empty()) return;
  guest::ByteWriter out;
  out.PutBytes(AsBytes(kMagic));
  out.PutText(LabelOf(place));
  out.Put(static_cast<uint8_t>(diff.method));
  guest::EncodeChangeSet(diff.changes, out);
  PutLineage(diff, base_inodes, out);
  const auto digest = DigestOf(out.bytes());
  out.PutBytes(std::as_bytes(std::span(digest)));
  KeepCacheFile(place.keep_in / FileOf(place).filename(), out.bytes());
}

}  // namespace mica::rebase
