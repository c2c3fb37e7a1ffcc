// SPDX-License-Identifier: Apache-2.0
// The contract of Host (names, locks, metadata), for every host and I/O engine.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "engine/async/sync_wait.h"
#include "tests/conformance/block_file_fixture.h"

namespace mica {
namespace {

using testing::HasSubstr;
using Data = std::vector<std::byte>;

class HostConformance : public HostSuite {
 protected:
  Result<std::unique_ptr<BlockFile>> Open(const std::string& name, const OpenOptions& options) {
    return SyncWait(loop(), host().Open(Path(name), options));
  }
  void CreateWith(const std::string& name, uint8_t value) {
    const auto file = Create(name);
    ASSERT_TRUE(SyncWait(loop(), file->Write(0, Data(100, std::byte{value}))));
  }
  OpenOptions Reader(FileLock lock) const {
    OpenOptions options = Options(lock);
    options.writable = false;
    return options;
  }
};

TEST_P(HostConformance, ExclusiveLockExcludesEverybody) {
  CreateWith("file", 1);
  auto holder = Open("file", Options(FileLock::kExclusive));
  ASSERT_TRUE(holder.has_value()) << holder.error().message;
  const auto second = Open("file", Options(FileLock::kExclusive));
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, Errc::kBusy);
  EXPECT_THAT(second.error().message, HasSubstr(Path("file").string()));
  EXPECT_EQ(Open("file", Reader(FileLock::kShared)).error().code, Errc::kBusy);
  EXPECT_TRUE(Open("file", Reader(FileLock::kNone)).has_value());
  holder->reset();
  EXPECT_TRUE(Open("file", Options(FileLock::kExclusive)).has_value());
}

TEST_P(HostConformance, SharedLocksShare) {
  CreateWith("file", 1);
  auto first = Open("file", Reader(FileLock::kShared));
  auto second = Open("file", Reader(FileLock::kShared));
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_EQ(Open("file", Options(FileLock::kExclusive)).error().code, Errc::kBusy);
  first->reset();
  EXPECT_EQ(Open("file", Options(FileLock::kExclusive)).error().code, Errc::kBusy);
  second->reset();
  EXPECT_TRUE(Open("file", Options(FileLock::kExclusive)).has_value());
}

TEST_P(HostConformance, ANewFileIsLockedFromTheStart) {
  const auto created =
      SyncWait(loop(), host().CreateExclusive(Path("file"), Options(FileLock::kExclusive)));
  ASSERT_TRUE(created.has_value());
  EXPECT_EQ(Open("file", Options(FileLock::kExclusive)).error().code, Errc::kBusy);
}

TEST_P(HostConformance, CreateExclusiveFailsOnAnExistingName) {
  CreateWith("file", 1);
  const auto again = SyncWait(loop(), host().CreateExclusive(Path("file"), Options()));
  ASSERT_FALSE(again.has_value());
  EXPECT_EQ(again.error().code, Errc::kExists);
  EXPECT_THAT(again.error().message, HasSubstr(Path("file").string()));
  const auto file = Open("file", Options()).value();
  EXPECT_EQ(ReadAll(*file), Data(100, std::byte{1}));
}

TEST_P(HostConformance, MissingFilesAreNotFoundAndNamed) {
  const auto opened = Open("missing", Options());
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Errc::kNotFound);
  EXPECT_THAT(opened.error().message, HasSubstr(Path("missing").string()));
  EXPECT_EQ(SyncWait(loop(), host().Stat(Path("missing"))).error().code, Errc::kNotFound);
  EXPECT_EQ(SyncWait(loop(), host().Remove(Path("missing"))).error().code, Errc::kNotFound);
  const Result<void> renamed = SyncWait(loop(), host().Rename(Path("missing"), Path("other")));
  ASSERT_FALSE(renamed.has_value());
  EXPECT_EQ(renamed.error().code, Errc::kNotFound);
  EXPECT_THAT(renamed.error().message, HasSubstr("missing"));
}

TEST_P(HostConformance, RenameReplaces) {
  CreateWith("old", 1);
  CreateWith("new", 2);
  const auto replaced = Open("old", Reader(FileLock::kNone)).value();
  ASSERT_TRUE(SyncWait(loop(), host().Rename(Path("new"), Path("old"))));
  ASSERT_TRUE(SyncWait(loop(), host().SyncDirectory(Path("old").parent_path())));
  EXPECT_EQ(Open("new", Options()).error().code, Errc::kNotFound);
  EXPECT_EQ(ReadAll(*Open("old", Options()).value()), Data(100, std::byte{2}));
  EXPECT_EQ(ReadAll(*replaced), Data(100, std::byte{1}));  // an open file stays what it was
}

TEST_P(HostConformance, LinkGivesASecondName) {
  CreateWith("file", 1);
  ASSERT_TRUE(SyncWait(loop(), host().Link(Path("file"), Path("second"))));
  EXPECT_EQ(SyncWait(loop(), host().Link(Path("file"), Path("second"))).error().code,
            Errc::kExists);
  EXPECT_EQ(SyncWait(loop(), host().Link(Path("missing"), Path("third"))).error().code,
            Errc::kNotFound);
  ASSERT_TRUE(SyncWait(loop(), host().Rename(Path("file"), Path("second"))));  // the same file
  ASSERT_TRUE(SyncWait(loop(), host().Remove(Path("file"))));
  EXPECT_EQ(ReadAll(*Open("second", Options()).value()), Data(100, std::byte{1}));
}

TEST_P(HostConformance, RemoveRemoves) {
  CreateWith("file", 1);
  ASSERT_TRUE(SyncWait(loop(), host().Remove(Path("file"))));
  EXPECT_EQ(Open("file", Options()).error().code, Errc::kNotFound);
  EXPECT_TRUE(SyncWait(loop(), host().CreateExclusive(Path("file"), Options())).has_value());
}

TEST_P(HostConformance, StatTellsSizeAndChange) {
  CreateWith("file", 1);
  const FileStat before = SyncWait(loop(), host().Stat(Path("file"))).value();
  EXPECT_EQ(before.size, 100u);
  EXPECT_FALSE(before.is_block_device);
  const auto file = Open("file", Options()).value();
  ASSERT_TRUE(SyncWait(loop(), file->Resize(12'345)));
  const FileStat after = SyncWait(loop(), host().Stat(Path("file"))).value();
  EXPECT_EQ(after.size, 12'345u);
  EXPECT_GE(after.modified_ns, before.modified_ns);
}

TEST_P(HostConformance, SpaceIsTheFileSystems) {
  CreateWith("file", 1);
  const HostSpace space = host().Space(Path("file")).value();
  EXPECT_GT(space.available_bytes, 0u);
  EXPECT_GE(space.total_bytes, space.available_bytes);
  EXPECT_EQ(host().Space(Path("file").parent_path())->file_system, space.file_system);
  EXPECT_EQ(host().Space(Path("missing")).error().code, Errc::kNotFound);
}

TEST_P(HostConformance, ADirectoryIsNotAFile) {
  CreateWith("file", 1);
  const auto opened =
      SyncWait(loop(), host().Open(Path("file").parent_path(), Reader(FileLock::kNone)));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, Errc::kInvalidArgument);
}

INSTANTIATE_TEST_SUITE_P(EveryHost, HostConformance, testing::ValuesIn(kEveryHost), HostCaseName);

}  // namespace
}  // namespace mica
