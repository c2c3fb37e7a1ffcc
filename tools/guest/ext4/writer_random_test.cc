// SPDX-License-Identifier: Apache-2.0
// Random changes through Ext4Writer against a model in memory, on every kind of file system; then
// the real e2fsck and a comparison of every object. Prints its seed; MICA_SEED=n replays one.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "engine/base/prng.h"
#include "tools/guest/ext4/writer_test_support.h"

namespace mica::guest::testing {
namespace {

struct ModelObject {
  Object object;  // size and id are not modelled
  std::string content;
  std::map<std::string, uint64_t> entries;  // of a directory, leaf -> inode
};

std::string MakeAcl(Prng& prng) {
  std::string acl("\x02\0\0\0", 4);
  const auto entry = [&acl](uint16_t tag, uint16_t permissions, uint32_t id) {
    std::array<std::byte, 8> bytes{};
    StoreLe(Bytes(bytes), 0, tag);
    StoreLe(Bytes(bytes), 2, permissions);
    StoreLe(Bytes(bytes), 4, id);
    acl += AsText(bytes);
  };
  entry(1, 6, 0xffffffff);
  entry(2, 4, static_cast<uint32_t>(prng.Below(70000)));
  entry(4, 4, 0xffffffff);
  entry(16, 7, 0xffffffff);
  entry(32, 0, 0xffffffff);
  return acl;
}

class RandomRun {
 public:
  RandomRun(WriteSession& session, const MkfsVariant& variant, uint64_t seed)
      : session_(session), prng_(seed), block_bytes_(session.volume().fs()->blocksize) {
    ea_inode_ = variant.options.find("ea_inode") != std::string::npos;
    wide_times_ = EXT2_INODE_SIZE(session.volume().fs()->super) > 128;
    model_[EXT2_ROOT_INO].object.kind = ObjectKind::kDirectory;
    const auto entries = session.volume().List(EXT2_ROOT_INO);
    for (const DirectoryEntry& entry : *entries) reserved_.push_back(entry.name);
  }

  void Step() {
    switch (prng_.Below(10)) {
      case 0:
      case 1:
      case 2:
        return Create();
      case 3:
        return Link();
      case 4:
        return Remove();
      case 5:
        return Rename();
      case 6:
        return SetAttributes();
      default:
        return ChangeContent();
    }
  }

  void Compare(Ext4Volume& volume) {
    for (const auto& [inode, expected] : model_) CompareOne(volume, inode, expected);
  }

 private:
  Ext4Writer& writer() { return session_.writer(); }

  template <class T>
  bool Must(const Result<T>& result, std::string_view what) {
    EXPECT_TRUE(result) << what << ": " << (result ? "" : result.error().message);
    return result.has_value();
  }

  template <class Predicate>
  uint64_t Pick(Predicate predicate) {
    std::vector<uint64_t> found;
    for (const auto& [inode, object] : model_) {
      if (predicate(object)) found.push_back(inode);
    }
    return found.empty() ? 0 : found[prng_.Below(found.size())];
  }
  uint64_t PickKind(ObjectKind kind) {
    return Pick([&](const ModelObject& object) { return object.object.kind == kind; });
  }

  std::string NewLeaf() {
    std::string leaf = fmt::format("{}-{}", prng_.OneIn(8) ? "ü \n*" : "n", ++names_);
    if (prng_.OneIn(10)) leaf.resize(255, 'x');
    return leaf;
  }

  Attributes RandomAttributes() {
    Attributes attributes;
    attributes.mode = static_cast<uint32_t>(prng_.Below(07777));
    attributes.uid = static_cast<uint32_t>(prng_.OneIn(4) ? prng_.Next() : prng_.Below(2000));
    attributes.gid = static_cast<uint32_t>(prng_.Below(100000));
    attributes.modified.seconds =
        static_cast<int64_t>(prng_.Below(wide_times_ ? 10'000'000'000 : 2'000'000'000));
    if (wide_times_)
      attributes.modified.nanoseconds = static_cast<uint32_t>(prng_.Below(1'000'000'000));
    if (prng_.OneIn(4)) attributes.flags = EXT2_NODUMP_FL | EXT2_NOATIME_FL;
    for (uint64_t i = prng_.Below(4); i > 0; --i) {
      attributes.xattrs[fmt::format("user.name{}", prng_.Below(6))] =
          Pattern(prng_.Next(), prng_.Below(150));
    }
    if (prng_.OneIn(5)) attributes.xattrs["security.capability"] = Pattern(prng_.Next(), 20);
    if (prng_.OneIn(5)) attributes.xattrs["trusted.t"] = "";
    if (prng_.OneIn(5)) attributes.xattrs["system.posix_acl_access"] = MakeAcl(prng_);
    if (ea_inode_ && prng_.OneIn(4)) {
      attributes.xattrs["user.big"] = Pattern(prng_.Next(), 4000 + prng_.Below(60000));
    }
    return attributes;
  }

  void Create() {
    constexpr ObjectKind kKinds[] = {ObjectKind::kRegular,    ObjectKind::kRegular,
                                     ObjectKind::kRegular,    ObjectKind::kDirectory,
                                     ObjectKind::kDirectory,  ObjectKind::kSymlink,
                                     ObjectKind::kCharDevice, ObjectKind::kBlockDevice,
                                     ObjectKind::kFifo,       ObjectKind::kSocket};
    NewObject object;
    object.kind = kKinds[prng_.Below(std::size(kKinds))];
    object.attributes = RandomAttributes();
    const bool links_only =
        object.kind != ObjectKind::kRegular && object.kind != ObjectKind::kDirectory;
    if (links_only)
      std::erase_if(object.attributes.xattrs,
                    [](const auto& x) { return x.first.starts_with("user."); });
    if (object.kind == ObjectKind::kSymlink) {
      const size_t sizes[] = {1, 59, 60, 61, 300, std::min<size_t>(1000, block_bytes_ - 1)};
      object.symlink_target = std::string(sizes[prng_.Below(std::size(sizes))], 's');
    } else if (links_only) {
      if (object.kind == ObjectKind::kCharDevice || object.kind == ObjectKind::kBlockDevice) {
        object.device_major = static_cast<uint32_t>(prng_.Below(prng_.OneIn(2) ? 256 : 4096));
        object.device_minor = static_cast<uint32_t>(prng_.Below(prng_.OneIn(2) ? 256 : 1 << 20));
      }
    }
    const uint64_t directory = PickKind(ObjectKind::kDirectory);
    const std::string leaf = NewLeaf();
    const Result<uint64_t> inode = writer().Create({directory, leaf}, object);
    if (!Must(inode, "create")) return;
    ModelObject& added = model_[*inode];
    added.object.kind = object.kind;
    added.object.attributes = object.attributes;
    added.object.symlink_target = object.symlink_target;
    added.object.device_major = object.device_major;
    added.object.device_minor = object.device_minor;
    added.object.link_count = 1;
    model_[directory].entries[leaf] = *inode;
  }

  void Link() {
    const uint64_t inode = Pick(
        [](const ModelObject& object) { return object.object.kind != ObjectKind::kDirectory; });
    if (inode == 0) return;
    const uint64_t directory = PickKind(ObjectKind::kDirectory);
    const std::string leaf = NewLeaf();
    if (!Must(writer().Link({directory, leaf}, inode), "link")) return;
    ++model_[inode].object.link_count;
    model_[directory].entries[leaf] = inode;
  }

  void Remove() {
    const uint64_t directory =
        Pick([](const ModelObject& object) { return !object.entries.empty(); });
    if (directory == 0) return;
    auto& entries = model_[directory].entries;
    const auto entry =
        std::next(entries.begin(), static_cast<ptrdiff_t>(prng_.Below(entries.size())));
    const uint64_t inode = entry->second;
    const Result<void> removed = writer().Remove({directory, entry->first});
    if (!model_[inode].entries.empty()) {
      EXPECT_FALSE(removed);
      return;
    }
    if (!Must(removed, "remove")) return;
    entries.erase(entry);
    if (--model_[inode].object.link_count == 0) model_.erase(inode);
  }

  bool IsBelow(uint64_t directory, uint64_t above) {
    if (directory == above) return true;
    return std::ranges::any_of(model_[above].entries,
                               [&](const auto& entry) { return IsBelow(directory, entry.second); });
  }

  void Rename() {
    const uint64_t from = Pick([](const ModelObject& object) { return !object.entries.empty(); });
    if (from == 0) return;
    auto& entries = model_[from].entries;
    const auto entry =
        std::next(entries.begin(), static_cast<ptrdiff_t>(prng_.Below(entries.size())));
    const uint64_t to = PickKind(ObjectKind::kDirectory);
    const uint64_t inode = entry->second;
    if (model_[inode].object.kind == ObjectKind::kDirectory && IsBelow(to, inode)) return;
    const std::string leaf = NewLeaf();
    if (!Must(writer().Rename({from, entry->first}, {to, leaf}), "rename")) return;
    entries.erase(entry);
    model_[to].entries[leaf] = inode;
  }

  void SetAttributes() {
    const uint64_t inode = Pick([](const ModelObject& object) {
      return object.object.kind == ObjectKind::kRegular ||
             object.object.kind == ObjectKind::kDirectory;
    });
    if (inode == EXT2_ROOT_INO || inode == 0) return;
    const Attributes attributes = RandomAttributes();
    if (Must(writer().SetAttributes(inode, attributes), "attributes")) {
      model_[inode].object.attributes = attributes;
    }
  }

  void ChangeContent() {
    const uint64_t inode = PickKind(ObjectKind::kRegular);
    if (inode == 0) return;
    Result<FileWriter> file = writer().OpenFile(inode);
    if (!Must(file, "open")) return;
    std::string& content = model_[inode].content;
    for (uint64_t i = prng_.Below(6); i > 0; --i) ChangeOnce(*file, content);
    Must(file->Finish(), "finish");
  }

  void ChangeOnce(FileWriter& file, std::string& content) {
    constexpr size_t kSizeMax = 600'000;
    const uint64_t unit = prng_.OneIn(2) ? block_bytes_ : 1;
    if (const uint64_t what = prng_.Below(8); what == 0) {
      const size_t size = prng_.Below(kSizeMax) / unit * unit;
      if (Must(file.Resize(size), "resize")) content.resize(size);
    } else if (what == 1 && !content.empty()) {
      const ByteRange range{prng_.Below(content.size()) / unit * unit,
                            prng_.Below(100'000) / unit * unit};
      if (!Must(file.Punch(range), "punch")) return;
      const ByteRange part = Intersect(range, {0, content.size()});
      std::fill_n(content.begin() + static_cast<ptrdiff_t>(part.offset), part.length, '\0');
    } else {
      const uint64_t offset = prng_.Below(kSizeMax) / unit * unit;
      const std::string data = Pattern(prng_.Next(), prng_.Below(prng_.OneIn(3) ? 100'000 : 5000));
      if (!Must(file.Write(offset, AsBytes(data)), "write") || data.empty()) return;
      if (content.size() < offset + data.size()) content.resize(offset + data.size());
      content.replace(offset, data.size(), data);
    }
  }

  void CompareOne(Ext4Volume& volume, uint64_t inode, const ModelObject& expected) {
    SCOPED_TRACE(fmt::format("inode {}", inode));
    const Result<Object> object = volume.Stat(inode);
    if (!Must(object, "stat")) return;
    EXPECT_EQ(object->kind, expected.object.kind);
    if (object->kind == ObjectKind::kDirectory) {
      CompareEntries(volume, inode, expected);
    } else {
      EXPECT_EQ(object->link_count, expected.object.link_count);
    }
    if (inode != EXT2_ROOT_INO) {
      EXPECT_EQ(object->attributes, expected.object.attributes);
    }
    EXPECT_EQ(object->symlink_target, expected.object.symlink_target);
    EXPECT_EQ(object->device_major, expected.object.device_major);
    EXPECT_EQ(object->device_minor, expected.object.device_minor);
    if (object->kind != ObjectKind::kRegular) return;
    const Result<std::string> content = ReadWhole(volume, inode, UINT64_MAX);
    if (!Must(content, "read")) return;
    EXPECT_EQ(content->size(), expected.content.size());
    EXPECT_TRUE(*content == expected.content);
  }

  void CompareEntries(Ext4Volume& volume, uint64_t inode, const ModelObject& expected) {
    const auto listed = volume.List(inode);
    if (!Must(listed, "list")) return;
    std::map<std::string, uint64_t> entries;
    for (const DirectoryEntry& entry : *listed) {
      if (inode == EXT2_ROOT_INO && std::ranges::count(reserved_, entry.name) != 0) continue;
      entries[entry.name] = entry.inode;
      EXPECT_EQ(entry.kind, model_[entry.inode].object.kind);
    }
    EXPECT_EQ(entries, expected.entries);
  }

  WriteSession& session_;
  Prng prng_;
  uint64_t block_bytes_;
  bool ea_inode_ = false;
  bool wide_times_ = false;
  uint64_t names_ = 0;
  std::vector<std::string> reserved_;
  std::map<uint64_t, ModelObject> model_;
};

class WriterRandomTest : public ::testing::TestWithParam<MkfsVariant> {};

TEST_P(WriterRandomTest, RandomChangesGiveACleanVolumeWithTheRightContent) {
  const char* chosen = std::getenv("MICA_SEED");
  const uint64_t first = chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : 1;
  const uint64_t runs = chosen != nullptr ? 1 : 3;
  ScratchFolder scratch;
  const std::string image = scratch.Path("fs.img");
  for (uint64_t seed = first; seed < first + runs; ++seed) {
    SCOPED_TRACE(fmt::format("MICA_SEED={}", seed));
    MakeFs(image, GetParam());
    WriteSession session(image);
    RandomRun run(session, GetParam(), seed);
    for (int step = 0; step < 400 && !HasFailure(); ++step) run.Step();
    session.Finish();
    const auto reopened = OpenVolume(image);
    run.Compare(*reopened->volume);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(All, WriterRandomTest, ::testing::ValuesIn(AllVariants()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace mica::guest::testing
