// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/patch_cache.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

namespace mica::rebase {
namespace {

class TwoPairs final : public Lineage {
 public:
  [[nodiscard]] std::optional<uint64_t> Of(uint64_t base) const override {
    if (base == 12) return 15;
    return base == 13 ? std::optional<uint64_t>(11) : std::nullopt;
  }
  [[nodiscard]] std::optional<uint64_t> BaseOf(uint64_t) const override { return std::nullopt; }
};

class PatchCache : public ::testing::Test {
 protected:
  PatchCache() {
    std::string name = (std::filesystem::temp_directory_path() / "mica-patch-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    place_.base.path = folder_ / "v1.raw";
    place_.base.identity = LayerIdentity{{1}, {2}, 100};
    place_.target.path = folder_ / "v2.raw";
    place_.target.identity = LayerIdentity{{3}, {4}, 200};
    place_.volume.partition = 1;
    place_.keep_in = folder_;
    place_.base_pieces = place_.target_pieces = {{4096, 8192}};
  }
  ~PatchCache() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  static VolumeDiff SomeDiff(DiffMethod method) {
    VolumeDiff diff;
    diff.method = method;
    guest::ChangedObject change;
    change.after = guest::Object();
    change.names_after = {{2, "new", "/new", 0}};
    diff.changes.objects.push_back(change);
    if (method == DiffMethod::kWalkByPath) {
      diff.lineage = std::make_unique<TwoPairs>();
    } else {
      diff.lineage = std::make_unique<SameInodeLineage>();
    }
    return diff;
  }

  std::filesystem::path OnlyFile() const {
    std::filesystem::path found;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      EXPECT_TRUE(found.empty()) << entry.path();
      found = entry.path();
    }
    return found;
  }

  std::filesystem::path folder_;
  PatchPlace place_;
};

TEST_F(PatchCache, GivesBackADeltaBoundedDiff) {
  EXPECT_FALSE(LoadPatch(place_));
  KeepPatch(place_, SomeDiff(DiffMethod::kDeltaBounded), 20);
  const std::optional<VolumeDiff> loaded = LoadPatch(place_);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->method, DiffMethod::kDeltaBounded);
  ASSERT_EQ(loaded->changes.objects.size(), 1U);
  EXPECT_EQ(loaded->changes.objects[0].names_after[0].path, "/new");
  EXPECT_EQ(loaded->lineage->Of(12), 12U);
}

TEST_F(PatchCache, GivesBackTheLineageByPath) {
  KeepPatch(place_, SomeDiff(DiffMethod::kWalkByPath), 20);
  const std::optional<VolumeDiff> loaded = LoadPatch(place_);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->lineage->Of(12), 15U);
  EXPECT_EQ(loaded->lineage->BaseOf(11), 13U);
  EXPECT_EQ(loaded->lineage->Of(14), std::nullopt);
}

TEST_F(PatchCache, IsOfTheseMastersAndThisPlaceOnly) {
  KeepPatch(place_, SomeDiff(DiffMethod::kDeltaBounded), 20);
  PatchPlace other = place_;
  other.target.identity->digest[0] = 9;  // sealed anew under the same name
  EXPECT_FALSE(LoadPatch(other));
  other = place_;
  other.base.identity->digest[0] = 9;
  EXPECT_FALSE(LoadPatch(other));
  other = place_;
  other.target_pieces = {{0, 8192}};
  EXPECT_FALSE(LoadPatch(other));
  EXPECT_TRUE(LoadPatch(place_));
}

TEST_F(PatchCache, DoesNotTrustADamagedFile) {
  KeepPatch(place_, SomeDiff(DiffMethod::kDeltaBounded), 20);
  const std::filesystem::path file = OnlyFile();
  {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(std::filesystem::file_size(file) / 2));
    stream.put('\x5a');
  }
  EXPECT_FALSE(LoadPatch(place_));
}

TEST_F(PatchCache, KeepsNothingAboutMastersWithoutAnIdentity) {
  place_.base.identity.reset();
  KeepPatch(place_, SomeDiff(DiffMethod::kDeltaBounded), 20);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace mica::rebase
