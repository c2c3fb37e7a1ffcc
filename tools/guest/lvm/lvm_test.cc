// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/async/memory_loop.h"
#include "engine/base/prng.h"
#include "tests/support/memory_device.h"
#include "tools/guest/lvm/config_text.h"
#include "tools/guest/lvm/logical_volumes.h"
#include "tools/guest/lvm/lvm_test_support.h"
#include "tools/guest/lvm/volume_group.h"

namespace mica::guest::testing {
namespace {

using ::mica::testing::MemoryDevice;
using ::testing::HasSubstr;

constexpr uint64_t kDiskBytes = 2 << 20;
constexpr uint64_t kExtent = 64 << 10;
constexpr uint64_t kFirstExtent = 128 << 10;

std::string ErrorOf(std::string_view text) {
  const auto parsed = ParseConfigText(text);
  return parsed ? "no error" : parsed.error().message;
}

TEST(LvmConfigText, ReadsSectionsValuesAndLists) {
  const auto root = ParseConfigText(
      "# comment\nvg0 {\n a = 12 # more\n b=\"x\\\"y\\\\\"\n\tlist = [ \"p\", -3,\n 4 ]\n empty = "
      "[]\n"
      " inner { deep { c = 1 } }\n}\nversion = 1\n");
  ASSERT_TRUE(root) << root.error().message;
  const ConfigNode* const group = root->Find("vg0");
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(*group->Number("a"), 12u);
  EXPECT_EQ(*group->Text("b"), "x\"y\\");
  EXPECT_EQ(group->Find("list")->values.size(), 3u);
  EXPECT_EQ(std::get<int64_t>(group->Find("list")->values[1]), -3);
  EXPECT_TRUE(group->Find("empty")->values.empty());
  EXPECT_EQ(*group->Find("inner")->Find("deep")->Number("c"), 1u);
  EXPECT_FALSE(group->Number("b"));
  EXPECT_FALSE(group->Text("missing"));
  EXPECT_FALSE(group->Find("list")->Number("a"));
}

TEST(LvmConfigText, AZeroByteEndsIt) {
  const auto root = ParseConfigText(std::string_view("a = 1\n\0}}}", 10));
  ASSERT_TRUE(root);
  EXPECT_EQ(root->children.size(), 1u);
}

TEST(LvmConfigText, SaysWhereItIsDamaged) {
  EXPECT_THAT(ErrorOf("a = 1\nb = {\n"), HasSubstr("line 2"));
  EXPECT_THAT(ErrorOf("a {\n b = 1\n"), HasSubstr("closing brace"));
  EXPECT_THAT(ErrorOf("a {\n}\n}\n"), HasSubstr("expected a name"));
  EXPECT_THAT(ErrorOf("a = \"x\n"), HasSubstr("without an end"));
  EXPECT_THAT(ErrorOf("a = \"x\\"), HasSubstr("without an end"));
  EXPECT_THAT(ErrorOf("a = [1 2]"), HasSubstr("comma"));
  EXPECT_THAT(ErrorOf("a = 99999999999999999999"), HasSubstr("number"));
  EXPECT_THAT(ErrorOf("a b"), HasSubstr("after a"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "a{";
  EXPECT_THAT(ErrorOf(deep), HasSubstr("nest deeper"));
  std::string many;
  for (int i = 0; i < 300'000; ++i) many += "a{}";
  EXPECT_THAT(ErrorOf(many), HasSubstr("more than"));
}

TEST(LvmGroup, ReadsLinearVolumes) {
  const auto group =
      ParseVolumeGroup(GroupText(2, VolumeText("root", {{1, 0, 3, "pv0", 2}, {2, 3, 5, "pv1", 0}}) +
                                        VolumeText("data", {{1, 0, 4, "pv0", 8}})));
  ASSERT_TRUE(group) << group.error().message;
  EXPECT_EQ(group->name, "vg0");
  EXPECT_EQ(group->extent_bytes, kExtent);
  EXPECT_EQ(group->obstacle, "");
  ASSERT_EQ(group->volumes.size(), 2u);
  ASSERT_EQ(group->volumes[0].runs.size(), 2u);
  EXPECT_EQ(group->volumes[0].runs[1].disk, 1u);
  EXPECT_EQ(group->volumes[1].runs[0].first, 8u);
}

TEST(LvmGroup, WhatIsNotLinearIsNamed) {
  for (const char* const type : {"thin-pool", "thin", "raid1", "snapshot", "cache", "vdo"}) {
    SegmentText segment{1, 0, 3};
    segment.type = type;
    const auto group = ParseVolumeGroup(
        GroupText(1, VolumeText("ok", {{1, 0, 3}}) + VolumeText("odd", {segment})));
    ASSERT_TRUE(group) << group.error().message;
    EXPECT_THAT(group->obstacle, HasSubstr(fmt::format("vg0/odd is {};", type)));
    EXPECT_TRUE(group->volumes.empty());
  }
  SegmentText segment{1, 0, 3};
  segment.stripes = 2;
  const auto group = ParseVolumeGroup(GroupText(1, VolumeText("odd", {segment})));
  ASSERT_TRUE(group);
  EXPECT_THAT(group->obstacle, HasSubstr("striped over 2 disks"));
}

TEST(LvmGroup, ImpossibleNumbersAreDamage) {
  const std::vector<SegmentText> bad[] = {
      {{1, 0, 17}},                         // more than the disk has
      {{1, 0, 1, "pv0", 16}},               // behind its end
      {{1, 0, UINT64_MAX >> 1, "pv0", 3}},  // a sum that wraps
      {{1, 1, 3}},                          // does not begin at the start
      {{1, 0, 3}, {2, 4, 3, "pv0", 5}},     // a hole between
      {{1, 0, 0}},                          // nothing
      {{1, 0, 3, "pv7", 0}},                // nowhere
      {{2, 0, 3}},                          // no first
      {{1, 0, 3}, {1, 3, 3, "pv0", 5}},     // twice the first
      {},
  };
  for (const std::vector<SegmentText>& segments : bad) {
    const auto group = ParseVolumeGroup(GroupText(1, VolumeText("root", segments)));
    ASSERT_FALSE(group);
    EXPECT_EQ(group.error().code, Errc::kCorrupt);
  }
  for (const char* const name : {"..", "-x", "a/b"}) {
    EXPECT_FALSE(ParseVolumeGroup(GroupText(1, VolumeText(name, {{1, 0, 1}})))) << name;
  }
  EXPECT_FALSE(ParseVolumeGroup("contents = \"none\"\n"));
}

class LvmDiskTest : public ::testing::Test {
 protected:
  // A disk of two physical volumes, one behind the other.
  LvmDiskTest() : device_(2 * kDiskBytes), sync_(loop_, device_) {
    for (int i = 0; i < 2; ++i) PutLabel(Pv(i), DiskId(i));
  }

  Bytes Pv(int number) {
    return Bytes(device_.bytes).subspan(static_cast<size_t>(number) * kDiskBytes, kDiskBytes);
  }
  LvmDisk Read() {
    auto read = ReadLogicalVolumes(sync_, {{0, kDiskBytes}, {kDiskBytes, kDiskBytes}});
    EXPECT_TRUE(read) << read.error().message;
    return read ? *read : LvmDisk();
  }

  MemoryLoop loop_;
  MemoryDevice device_;
  SyncDevice sync_;
};

TEST_F(LvmDiskTest, AVolumeOfThreePiecesOnTwoPhysicalVolumes) {
  PutText(
      Pv(1), Area::kSecond,
      GroupText(
          2, VolumeText("root", {{1, 0, 3, "pv0", 2}, {2, 3, 5, "pv1", 0}, {3, 8, 1, "pv0", 0}})));
  const LvmDisk lvm = Read();
  EXPECT_EQ(lvm.obstacles, (std::vector<std::string>{"", ""}));
  ASSERT_EQ(lvm.volumes.size(), 1u);
  EXPECT_EQ(lvm.volumes[0].name, "vg0/root");
  EXPECT_EQ(lvm.volumes[0].pieces,
            (std::vector<ByteRange>{{kFirstExtent + 2 * kExtent, 3 * kExtent},
                                    {kDiskBytes + kFirstExtent, 5 * kExtent},
                                    {kFirstExtent, kExtent}}));
}

TEST_F(LvmDiskTest, TheLatestCopyIsValidAndATextMayWrap) {
  const std::string old_text = GroupText(2, VolumeText("old", {{1, 0, 1}}), 7);
  const std::string new_text = GroupText(2, VolumeText("new", {{1, 0, 1}}), 8);
  PutText(Pv(0), Area::kFirst, new_text, (16 << 10) - 100);
  PutText(Pv(0), Area::kSecond, old_text);
  PutText(Pv(1), Area::kFirst, old_text);
  const LvmDisk lvm = Read();
  ASSERT_EQ(lvm.volumes.size(), 1u);
  EXPECT_EQ(lvm.volumes[0].name, "vg0/new");
}

TEST_F(LvmDiskTest, ADamagedCopyDoesNotMatterWhileThereIsAnother) {
  const std::string text = GroupText(1, VolumeText("root", {{1, 0, 1}}));
  PutText(Pv(0), Area::kFirst, text);
  PutText(Pv(0), Area::kSecond, text);
  Pv(0)[4096 + 600] ^= std::byte{1};
  EXPECT_EQ(Read().volumes.size(), 1u);
  Pv(0)[kDiskBytes - (16 << 10) + 600] ^= std::byte{1};
  const LvmDisk lvm = Read();
  EXPECT_TRUE(lvm.volumes.empty());
  EXPECT_THAT(lvm.obstacles[0], HasSubstr("checksum of the metadata text"));
  EXPECT_THAT(lvm.obstacles[1], HasSubstr("no volume group"));
}

TEST_F(LvmDiskTest, GroupsThatAreNotUnderstoodAreObstacles) {
  PutText(Pv(0), Area::kFirst, GroupText(3, VolumeText("root", {{1, 0, 1}})));
  EXPECT_THAT(Read().obstacles[1], HasSubstr("another disk"));
  PutText(Pv(0), Area::kFirst,
          GroupText(1, VolumeText("a", {{1, 0, 4}}) + VolumeText("b", {{1, 0, 1, "pv0", 3}})));
  EXPECT_THAT(Read().obstacles[0], HasSubstr("overlap"));
  PutText(Pv(0), Area::kFirst,
          GroupText(1, VolumeText("a", {{1, 0, 1}}) + VolumeText("a", {{1, 0, 1, "pv0", 3}})));
  EXPECT_THAT(Read().obstacles[0], HasSubstr("one name"));
  std::string far = GroupText(1, VolumeText("a", {{1, 0, 1, "pv0", 15}}));
  far.replace(far.find("pe_start = 256"), 14, "pe_start = 9999");
  PutText(Pv(0), Area::kFirst, far);
  EXPECT_THAT(Read().obstacles[0], HasSubstr("beyond its partition"));
}

TEST_F(LvmDiskTest, DamagedLabelsAreObstacles) {
  PutText(Pv(0), Area::kFirst, GroupText(1, VolumeText("root", {{1, 0, 1}})));
  PutLabel(Pv(1), DiskId(0));
  EXPECT_THAT(Read().obstacles[0], HasSubstr("one id"));
  EXPECT_THAT(Read().obstacles[1], HasSubstr("one id"));
  Pv(1)[512 + 40] ^= std::byte{1};
  EXPECT_THAT(Read().obstacles[1], HasSubstr("checksum of the label"));
  FillZero(Pv(1).first(4096));
  EXPECT_THAT(Read().obstacles[1], HasSubstr("no label"));
  EXPECT_EQ(Read().volumes.size(), 1u);
}

TEST_F(LvmDiskTest, RandomDamageNeverDoesMoreThanFail) {
  const char* const chosen = std::getenv("MICA_SEED");
  const uint64_t seed = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  SCOPED_TRACE(fmt::format("MICA_SEED={}", seed));
  Prng prng(seed);
  const std::string good =
      GroupText(2, VolumeText("root", {{1, 0, 3, "pv0", 2}, {2, 3, 5, "pv1", 0}}) +
                       VolumeText("data", {{1, 0, 4, "pv0", 8}}));
  size_t read = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = good;
    for (uint64_t i = 1 + prng.Below(3); i > 0; --i) {
      const size_t at = prng.Below(text.size());
      if (prng.OneIn(3)) {
        text.insert(at, text, prng.Below(text.size()), prng.Below(60));
      } else if (prng.OneIn(2)) {
        text[at] = static_cast<char>(" {}[]=\"#9"[prng.Below(9)]);
      } else {
        text.erase(at, prng.Below(20));
      }
    }
    PutText(Pv(0), Area::kFirst, text.substr(0, 15 << 10));  // with the right checksum
    const LvmDisk lvm = Read();
    for (const LogicalVolume& volume : lvm.volumes) {
      for (const ByteRange& piece : volume.pieces) {
        ASSERT_TRUE(FitsInside(piece, 2 * kDiskBytes));
        ASSERT_FALSE(piece.empty());
      }
    }
    read += lvm.volumes.empty() ? 0 : 1;
  }
  EXPECT_GT(read, 0u);
}

}  // namespace
}  // namespace mica::guest::testing
