// SPDX-License-Identifier: Apache-2.0
// Power cuts while an image gives space back: long writes, trims, pauses in which runs of free
// slots become holes, compacting, new quotas, closing and opening again. After each change that
// reaches the host the disk is cut, opened and compared with what the guest may find, as in
// mica_crash_test.cc.
//
// A failure prints its seed and cut; MICA_CRASH_SEED=N repeats one seed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/async/sync_wait.h"
#include "engine/space_control.h"
#include "formats/mica/mica_format.h"
#include "formats/mica/superblock.h"
#include "formats/open_chain.h"
#include "tests/crash/mica_workload.h"

namespace mica::testing {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kDiskBytes = 6 * kMiB;

class SpaceStory {
 public:
  SpaceStory(uint64_t seed, uint64_t cut_one_in)
      : prng_(seed), cuts_(seed + 1), cut_one_in_(cut_one_in) {}

  void Run(uint64_t steps) {
    const MicaFormat format;
    CreateOptions options;
    options.virtual_size = kDiskBytes;
    options.extra["log_size"] = "65536";
    if (!SyncWait(loop_, format.Create(host_, "/d", options))) return Note("create");
    if (!SyncWait(loop_, host_.SyncDirectory("/"))) return Note("create");
    host_.faults().SetChangeHook([this](const HostCall& call) { OnChange(call); });
    host_.faults().DelayCalls(prng_.Next(), 3);
    Open();
    for (uint64_t i = 0; i < steps && failure_.empty(); ++i) Step();
    Close();
    host_.faults().SetChangeHook({});
    if (failure_.empty()) failure_ = VerifyImage(host_, model_, true);
  }

  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
  [[nodiscard]] uint64_t cuts() const noexcept { return cuts_made_; }
  [[nodiscard]] uint64_t punches() const noexcept { return punches_; }
  [[nodiscard]] uint64_t moved_bytes() const noexcept { return moved_bytes_; }

 private:
  void Note(std::string what) {
    if (failure_.empty()) failure_ = std::move(what);
  }

  void OnChange(const HostCall& call) {
    punches_ += call.kind == HostCallKind::kDeallocate ? 1 : 0;
    const bool rare = call.kind == HostCallKind::kDeallocate || call.kind == HostCallKind::kResize;
    if (!failure_.empty() || (!rare && !cuts_.OneIn(cut_one_in_))) return;
    for (uint32_t i = 0; i < 2; ++i) {
      ++cuts_made_;
      const PowerCutPolicy policy = PowerCutPolicy::FromSeed(cuts_.Next());
      MemoryLoop loop;
      MemoryHost host(loop, {}, host_.disk().AfterPowerCut(policy));
      std::string wrong = VerifyImage(host, model_, cuts_.OneIn(2));
      if (wrong.empty()) wrong = VerifyQuota(host);
      if (wrong.empty()) continue;
      return Note(fmt::format("cut {} (after {} of {} bytes at {}, policy {} {}): {}", cuts_made_,
                              HostCallName(call.kind), call.range.length, call.range.offset,
                              static_cast<int>(policy.kind), policy.seed, wrong));
    }
  }

  // A quota is the old or the new one while it is being set, and the new one from then on.
  [[nodiscard]] std::string VerifyQuota(const MemoryHost& host) const {
    const std::vector<std::byte> file = host.Content("/d").value();
    const auto chosen = native::ChooseSuperblock(ConstBytes(file).first(4096),
                                                 ConstBytes(file).subspan(4096, 4096));
    const uint64_t found = chosen->superblock.quota_hard;
    if (found == quota_ || found == next_quota_) return {};
    return fmt::format("the quota is {}, not {} or {}", found, quota_, next_quota_);
  }

  void Open() {
    OpenChainOptions options;
    options.writable = true;
    auto chain = SyncWait(loop_, OpenChain(host_, "/d", options));
    if (!chain) return Note("open: " + chain.error().message);
    chain_ = *std::move(chain);
  }

  void Close() {
    if (chain_ == nullptr) return;
    const DiskModel::Snapshot snapshot = model_.Completed();
    const Result<void> closed = SyncWait(loop_, chain_->Close());
    if (!closed) Note("close: " + closed.error().message);
    model_.Covered(snapshot);
    chain_.reset();
    loop_.RunUntil([this] { return loop_.spawned_tasks() == 0; });
  }

  void Step() {
    const uint64_t length = (1 + prng_.Below(8)) * (kMiB / 4);
    const ByteRange range{prng_.Below((kDiskBytes - length) / 4096 + 1) * 4096, length};
    switch (prng_.Below(10)) {
      case 0:
      case 1:
      case 2:
        return Write(range);
      case 3:
      case 4:
        return Discard(range);
      case 5:
        return Flush();
      case 6:
        if (!SyncWait(loop_, Pause())) Note("pause");
        return;
      case 7:
        return Compact();
      case 8:
        return SetQuota();
      default:
        Close();
        return Open();
    }
  }

  SpaceControl& Space() { return *chain_->layer(0).controls().space; }

  void Compact() {
    const Result<CompactReport> done = SyncWait(loop_, Space().Compact({}));
    if (!done) return Note("compact: " + done.error().message);
    moved_bytes_ += done->moved_bytes;
  }

  void SetQuota() {
    next_quota_ = (100 + prng_.Below(1000)) * kMiB;
    const DiskModel::Snapshot snapshot = model_.Completed();
    const Result<void> done = SyncWait(loop_, Space().SetQuota(SpaceQuota{0, next_quota_}));
    if (!done) return Note("quota: " + done.error().message);
    quota_ = next_quota_;
    model_.Covered(snapshot);  // it is a checkpoint
  }

  Async<void> Pause() {
    co_await loop_.SleepUntil(loop_.Now() + std::chrono::seconds(4));
    co_return Result<void>();
  }

  void Write(ByteRange range) {
    std::vector<std::byte> data(range.length, static_cast<std::byte>(prng_.Next() | 1));
    model_.BeginWrite(range.offset, data);
    const Result<void> done =
        SyncWait(loop_, chain_->Write(range.offset, data, Durability::kVolatile));
    if (!done) return Note("write: " + done.error().message);
    model_.Complete(range);
  }

  void Discard(ByteRange range) {
    model_.BeginZero(range);
    const Result<void> done = SyncWait(loop_, chain_->Discard(range, Durability::kVolatile));
    if (!done) return Note("discard: " + done.error().message);
    model_.Complete(range);
  }

  void Flush() {
    const DiskModel::Snapshot snapshot = model_.Completed();
    const Result<void> flushed = SyncWait(loop_, chain_->Flush());
    if (!flushed) return Note("flush: " + flushed.error().message);
    model_.Covered(snapshot);
  }

  MemoryLoop loop_;
  MemoryHost host_{loop_};
  DiskModel model_{kDiskBytes, {ByteRange{0, kDiskBytes}}};
  std::unique_ptr<ImageChain> chain_;
  Prng prng_;
  Prng cuts_;
  const uint64_t cut_one_in_;
  uint64_t cuts_made_ = 0;
  uint64_t punches_ = 0;
  uint64_t moved_bytes_ = 0;
  uint64_t quota_ = 0;
  uint64_t next_quota_ = 0;
  std::string failure_;
};

#if defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kSeeds = 2;  // ten times slower
#else
constexpr uint64_t kSeeds = 6;
#endif

TEST(MicaSpaceCrash, APowerCutWhileSpaceGoesBackLosesNothing) {
  const char* const only = std::getenv("MICA_CRASH_SEED");
  const uint64_t first = only == nullptr ? 1 : std::strtoull(only, nullptr, 10);
  const uint64_t seeds = only == nullptr ? kSeeds : 1;
  uint64_t cuts = 0;
  uint64_t punches = 0;
  uint64_t moved_bytes = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    SpaceStory story(seed, 4);
    story.Run(60);
    ASSERT_EQ(story.failure(), "") << "to repeat: MICA_CRASH_SEED=" << seed;
    cuts += story.cuts();
    punches += story.punches();
    moved_bytes += story.moved_bytes();
  }
  fmt::print("{} cuts, {} punches, {} bytes moved\n", cuts, punches, moved_bytes);
  EXPECT_GT(moved_bytes, seeds * kMiB / 4);
  EXPECT_GT(punches, seeds);
}

}  // namespace
}  // namespace mica::testing
