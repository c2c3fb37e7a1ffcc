// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/fleet/journal.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>

namespace mica::rebase {
namespace {

const JobIdentity kJob{"v2.raw", "uuid 1"};

class JournalTest : public ::testing::Test {
 protected:
  JournalTest() {
    std::string name = (std::filesystem::temp_directory_path() / "mica-journal-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~JournalTest() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::filesystem::path Job() const { return folder_ / "job"; }
  [[nodiscard]] std::filesystem::path File() const { return Job() / "journal.jsonl"; }

  [[nodiscard]] std::string Text() const {
    std::ifstream file(File(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void Write(const std::string& text) const { std::ofstream(File(), std::ios::binary) << text; }

  static VmRow Row(const std::string& vm, VmState state) {
    VmRow row;
    row.vm = vm;
    row.state = state;
    row.attempts = 2;
    row.seconds = 1.5;
    row.message = "because";
    row.summary = {{"counts", {{"warn", 3}}}};
    return row;
  }

  void PutTwo() const {
    Result<Journal> journal = Journal::Open(Job(), kJob);
    ASSERT_TRUE(journal);
    ASSERT_TRUE(journal->Put(journal->IndexOf("a"), Row("a", VmState::kRunning)));
    ASSERT_TRUE(journal->Put(journal->IndexOf("b"), Row("b", VmState::kFailed)));
    ASSERT_TRUE(journal->Put(journal->IndexOf("a"), Row("a", VmState::kConflicts)));
  }

  std::filesystem::path folder_;
};

TEST_F(JournalTest, RemembersTheLastStateOfEachVm) {
  PutTwo();
  Result<Journal> journal = Journal::Open(Job(), kJob);
  ASSERT_TRUE(journal);
  ASSERT_EQ(journal->rows().size(), 2U);
  const VmRow& a = journal->rows()[journal->IndexOf("a")];
  EXPECT_EQ(a.state, VmState::kConflicts);
  EXPECT_EQ(a.attempts, 2U);
  EXPECT_EQ(a.seconds, 1.5);
  EXPECT_EQ(a.message, "because");
  EXPECT_EQ(a.summary["counts"]["warn"], 3);
  EXPECT_EQ(journal->rows()[journal->IndexOf("b")].state, VmState::kFailed);
  EXPECT_EQ(journal->rows()[journal->IndexOf("c")].state, VmState::kPending);
}

// Wherever a crash has cut the file, it opens, and no row is newer or other than one that was put.
TEST_F(JournalTest, SurvivesEveryCut) {
  PutTwo();
  const std::string whole = Text();
  const size_t head = whole.find('\n') + 1;
  for (size_t length = whole.size() % 5; length <= whole.size(); length += 5) {
    Write(whole.substr(0, length));
    Result<Journal> journal = Journal::Open(Job(), kJob);
    ASSERT_TRUE(journal) << length << ": " << journal.error().message;
    const VmState a = journal->rows()[journal->IndexOf("a")].state;
    EXPECT_TRUE(length != whole.size() || a == VmState::kConflicts);
    EXPECT_TRUE(length > head || a == VmState::kPending) << length;
    // What is put next is found, also after the cut.
    ASSERT_TRUE(journal->Put(journal->IndexOf("c"), Row("c", VmState::kSwitched)));
    journal = Error{Errc::kCancelled, "closed"};
    Result<Journal> again = Journal::Open(Job(), kJob);
    ASSERT_TRUE(again) << length;
    EXPECT_EQ(again->rows()[again->IndexOf("c")].state, VmState::kSwitched);
    EXPECT_EQ(again->rows()[again->IndexOf("a")].state, a);
  }
}

TEST_F(JournalTest, RefusesWhatNobodyWrote) {
  PutTwo();
  Write(Text() + "{\"vm\":\"x\",\"state\":\"flying\"}\n");
  const Result<Journal> journal = Journal::Open(Job(), kJob);
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, Errc::kCorrupt);
  EXPECT_NE(journal.error().message.find("journal.jsonl:5"), std::string::npos);
}

TEST_F(JournalTest, IsOfOneMaster) {
  PutTwo();
  const Result<Journal> journal = Journal::Open(Job(), {"v2.raw", "uuid 2"});
  ASSERT_FALSE(journal);
  EXPECT_EQ(journal.error().code, Errc::kMismatch);
}

TEST_F(JournalTest, IsLocked) {
  const Result<Journal> journal = Journal::Open(Job(), kJob);
  ASSERT_TRUE(journal);
  const Result<Journal> second = Journal::Open(Job(), kJob);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kBusy);
}

}  // namespace
}  // namespace mica::rebase
