// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/fstab.h"

#include <gtest/gtest.h>

namespace mica::guest {
namespace {

TEST(Fstab, ReadsWhatIsMountedWhere) {
  const auto entries = ParseFstab(
      "# comment\n\nUUID=ab / ext4 defaults 0 1\n\t/dev/vda2\t/srv/with\\040space/ ext4\n"
      "UUID=cd none swap sw\nonly-one-word\nproc /proc proc");
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].source, "UUID=ab");
  EXPECT_EQ(entries[0].mount_point, "/");
  EXPECT_EQ(entries[1].mount_point, "/srv/with space");
  EXPECT_EQ(entries[2].mount_point, "/proc");
  EXPECT_EQ(ParseFstab("a /\\0").front().mount_point, "/\\0");
}

TEST(Fstab, KnowsTheNamesOfAVolume) {
  VolumeNames volume;
  volume.id.partition = 2;
  volume.uuid = "0a-b";
  volume.label = "data";
  volume.part_uuid = "11-cc";
  volume.part_label = "my part";
  for (const char* const source : {"UUID=0A-B", "UUID=\"0a-b\"", "LABEL=data", "PARTUUID=11-CC",
                                   "PARTLABEL=my part", "/dev/sda2", "/dev/nvme0n1p2"}) {
    EXPECT_TRUE(IsNamed({source, "/x"}, volume)) << source;
  }
  for (const char* const source : {"UUID=", "UUID=0a", "LABEL=dat", "/dev/sda", "/dev/sda1",
                                   "/dev/sda22", "/dev/sdb2", "tmpfs"}) {
    EXPECT_FALSE(IsNamed({source, "/x"}, volume)) << source;
  }
  const VolumeNames logical{{0, "vg-0/root"}, "u", "", "", ""};
  EXPECT_TRUE(IsNamed({"/dev/vg-0/root", "/"}, logical));
  EXPECT_TRUE(IsNamed({"/dev/mapper/vg--0-root", "/"}, logical));
  EXPECT_FALSE(IsNamed({"/dev/mapper/vg-0-root", "/"}, logical));
  EXPECT_FALSE(IsNamed({"LABEL=", "/"}, logical));
}

}  // namespace
}  // namespace mica::guest
