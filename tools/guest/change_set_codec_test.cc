// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/change_set_codec.h"

#include <gtest/gtest.h>

namespace mica::guest {
namespace {

Object SomeObject(uint64_t inode) {
  Object object;
  object.id = {inode, 77, {1'700'000'000, 5}};
  object.kind = ObjectKind::kSymlink;
  object.attributes.mode = 04755;
  object.attributes.uid = 1000;
  object.attributes.gid = 100;
  object.attributes.modified = {-3, 999'999'999};
  object.attributes.flags = 0x20;
  object.attributes.project_id = 9;
  object.attributes.xattrs = {{"security.capability", std::string("\x01\0\0", 3)}, {"user.x", ""}};
  object.size = 1ULL << 40;
  object.link_count = 3;
  object.symlink_target = "to \xff";
  object.device_major = 8;
  object.device_minor = 1;
  return object;
}

ChangeSet SomeChanges() {
  ChangeSet changes;
  ChangedObject changed;
  changed.before = SomeObject(12);
  changed.after = SomeObject(13);
  changed.names_before = {{2, "a", "/a", 1}, {5, "b\n", "/dir/b\n", 0}};
  changed.content_changed = true;
  changed.content_ranges = {{0, 4096}, {1ULL << 33, 1}};
  changes.objects.push_back(changed);
  ChangedObject created;
  created.after = SomeObject(14);
  created.names_after = {{2, "new", "/new", 4}};
  created.attributes_changed = true;
  changes.objects.push_back(created);
  return changes;
}

std::vector<std::byte> Encoded(const ChangeSet& changes) {
  ByteWriter out;
  EncodeChangeSet(changes, out);
  return out.bytes();
}

TEST(ChangeSetCodec, GivesBackWhatItWasGiven) {
  const std::vector<std::byte> bytes = Encoded(SomeChanges());
  ByteReader in(bytes);
  const Result<ChangeSet> decoded = DecodeChangeSet(in);
  ASSERT_TRUE(decoded);
  EXPECT_TRUE(in.at_end());
  ASSERT_EQ(decoded->objects.size(), 2U);
  const ChangedObject& changed = decoded->objects[0];
  ASSERT_TRUE(changed.before && changed.after);
  EXPECT_EQ(changed.before->id, SomeObject(12).id);
  EXPECT_EQ(changed.after->attributes, SomeObject(13).attributes);
  EXPECT_EQ(changed.before->symlink_target, "to \xff");
  EXPECT_EQ(changed.names_before, SomeChanges().objects[0].names_before);
  EXPECT_EQ(changed.content_ranges, SomeChanges().objects[0].content_ranges);
  EXPECT_TRUE(changed.content_changed);
  EXPECT_FALSE(changed.attributes_changed);
  EXPECT_FALSE(decoded->objects[1].before);
  // Everything else: the same bytes again.
  EXPECT_EQ(Encoded(*decoded), bytes);
}

TEST(ChangeSetCodec, RefusesEveryPrefix) {
  const std::vector<std::byte> bytes = Encoded(SomeChanges());
  for (size_t length = 0; length < bytes.size(); ++length) {
    ByteReader in(ConstBytes(bytes).first(length));
    const Result<ChangeSet> decoded = DecodeChangeSet(in);
    ASSERT_FALSE(decoded) << length;
    EXPECT_EQ(decoded.error().code, Errc::kCorrupt);
  }
}

TEST(ChangeSetCodec, SurvivesEveryChangedByte) {
  const std::vector<std::byte> bytes = Encoded(SomeChanges());
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const auto value : {std::byte{0x00}, std::byte{0x7f}, std::byte{0xff}}) {
      std::vector<std::byte> damaged = bytes;
      damaged[at] = value;
      ByteReader in(damaged);
      const Result<ChangeSet> decoded = DecodeChangeSet(in);
      EXPECT_TRUE(decoded || decoded.error().code == Errc::kCorrupt) << at;
    }
  }
}

}  // namespace
}  // namespace mica::guest
