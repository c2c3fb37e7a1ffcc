// SPDX-License-Identifier: Apache-2.0
// Power cuts and failing host calls during commit, flatten and reparent. Whatever the moment, the
// delta must read as before the job, the image must pass its check, and a second head on the same
// parents, which is written to and flushed meanwhile, must hold everything it was promised. Then
// the job is run again to its end.
//
// MICA_CRASH_SEED=N repeats one seed; MICA_CRASH_TIMES=N runs N times as many.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"
#include "engine/base/prng.h"
#include "engine/io/memory_host.h"
#include "engine/jobs/flatten.h"
#include "engine/jobs/reparent.h"
#include "formats/open_chain.h"
#include "formats/open_commit.h"
#include "formats/registry.h"
#include "tests/crash/disk_model.h"

namespace mica::testing {
namespace {

using Content = std::vector<std::byte>;
constexpr uint64_t kBlock = DiskModel::kBlockBytes;

enum class Job : uint8_t { kCommit, kFlatten, kReparent };

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

void Scribble(Prng& prng, Content& content, uint32_t pieces) {
  for (uint32_t i = 0; i < pieces; ++i) {
    const uint64_t begin = prng.Below(content.size());
    const uint64_t end = std::min(content.size(), begin + 1 + prng.Below(8 * kBlock));
    const auto value = static_cast<std::byte>(prng.Below(5));  // often zero, often the same
    std::fill(content.begin() + static_cast<ptrdiff_t>(begin),
              content.begin() + static_cast<ptrdiff_t>(end), value);
  }
}

Async<std::unique_ptr<ImageChain>> Open(Host& host, std::filesystem::path path, bool writable) {
  OpenChainOptions options;
  options.writable = writable;
  if (path.extension() == ".raw") options.format = "raw";
  co_return co_await OpenChain(host, path, options);
}

// Writes what `after` has and `before` has not, in blocks.
Async<void> WriteDifference(ImageChain& chain, const Content& before, const Content& after) {
  for (uint64_t at = 0; at < after.size(); at += kBlock) {
    const ConstBytes block = ConstBytes(after).subspan(at, std::min(kBlock, after.size() - at));
    Content old(block.size());
    if (at < before.size()) {
      std::copy_n(before.begin() + static_cast<ptrdiff_t>(at),
                  std::min(old.size(), before.size() - at), old.begin());
    }
    if (std::ranges::equal(old, block)) continue;
    if (IsZero(block)) {
      const ByteRange range{at, block.size()};
      CO_TRY(co_await chain.WriteZeroes(range, ZeroHint::kMayUnmap, Durability::kVolatile));
    } else {
      CO_TRY(co_await chain.Write(at, block, Durability::kVolatile));
    }
  }
  co_return Result<void>();
}

Async<Content> ReadAll(ImageChain& chain) {
  Content content(chain.info().size);
  CO_TRY(co_await chain.Read(0, content));
  co_return content;
}

// The images of one seed in a MemoryHost: masters m1 and m2, the delta d with its parent p (m1, or
// an unsealed image for a commit), and the second head e over m1.
class Stage {
 public:
  Stage(Job job, uint64_t seed) : job_(job), prng_(seed), host_(loop_) {
    const uint64_t size = 40 * kBlock + prng_.Below(3) * 700;
    Content m1(size);
    Scribble(prng_, m1, 12);
    Content m2 = m1;
    m2.resize(size + (prng_.Below(3) - 1) * (5 * kBlock + 300));
    Scribble(prng_, m2, 8);
    m1_ = MakeMaster("/m1", m1);
    m2_ = MakeMaster("/m2", m2);
    second_size_ = size;
    MakeDelta("/e", m1_, size, m1, m1);
    ParentReference parent = m1_;
    Content below = m1;
    if (job_ == Job::kCommit) {
      parent = MakeUnsealed(m1, below);
    }
    seen_ = below;
    if (job_ != Job::kCommit && prng_.OneIn(2)) seen_.resize(size + 6 * kBlock + 100);
    Content shown = below;
    shown.resize(seen_.size());
    Scribble(prng_, seen_, 10);
    MakeDelta("/d", parent, seen_.size(), shown, seen_);
    Must(SyncWait(loop_, host_.SyncDirectory("/")));
    second_.emplace(size, std::vector<ByteRange>{{0, size}});
    second_->BeginWrite(0, m1);
    second_->Complete({0, size});
    second_->Covered(second_->Completed());
  }

  [[nodiscard]] MemoryHost& host() noexcept { return host_; }
  [[nodiscard]] MemoryLoop& loop() noexcept { return loop_; }

  // The job, and beside it writes and flushes to the second head.
  Result<void> Run() {
    std::vector<Async<void>> both;
    both.push_back(RunJob());
    both.push_back(UseSecondHead());
    Result<void> done = SyncWait(loop_, WhenAll(loop_, std::move(both)));
    loop_.RunUntil([this] { return loop_.spawned_tasks() == 0; });
    return done;
  }

  Result<void> RunJobAlone() {
    Result<void> done = SyncWait(loop_, RunJob());
    loop_.RunUntil([this] { return loop_.spawned_tasks() == 0; });
    return done;
  }

  // What is wrong on `host`; empty when nothing is.
  std::string Verify(MemoryLoop& loop, MemoryHost& host, bool writable) {
    for (const char* const name : {"/d", "/e"}) {
      const auto report = SyncWait(
          loop, FindFormat("mica").value()->Check(host, name, CheckScope::kMetadataAndData));
      if (!report) return fmt::format("check {}: {}", name, report.error().message);
      if (report->corruptions > 0) return fmt::format("{}: {}", name, report->findings[0].what);
    }
    std::string wrong = VerifyDelta(loop, host, writable);
    if (wrong.empty()) wrong = VerifySecond(loop, host, writable);
    loop.RunUntil([&loop] { return loop.spawned_tasks() == 0; });
    return wrong;
  }

 private:
  static void Must(const Result<void>& result) { ASSERT_TRUE(result) << result.error().message; }

  void MakeDelta(const char* path, std::optional<ParentReference> parent, uint64_t size,
                 const Content& before, const Content& after) {
    CreateOptions create;
    create.virtual_size = size;
    create.parent = std::move(parent);
    create.extra["log_size"] = std::to_string(8 * kBlock);
    Must(SyncWait(loop_, FindFormat("mica").value()->Create(host_, path, create)));
    auto chain = SyncWait(loop_, Open(host_, path, true)).value();
    Must(SyncWait(loop_, WriteDifference(*chain, before, after)));
    // Half of them as a crash of the process leaves them.
    Must(SyncWait(loop_, chain->Flush()));
    if (prng_.OneIn(2)) Must(SyncWait(loop_, chain->Close()));
    chain.reset();
    loop_.RunUntil([this] { return loop_.spawned_tasks() == 0; });
  }

  ParentReference MakeMaster(const char* path, const Content& content) {
    MakeDelta(path, std::nullopt, content.size(), Content(content.size()), content);
    const LayerIdentity identity =
        SyncWait(loop_, FindFormat("mica").value()->Seal(host_, path)).value();
    return ParentReference{path + 1, "mica", identity};
  }

  // A parent to commit into: raw, or mica over m1. `below` is what it reads.
  ParentReference MakeUnsealed(const Content& m1, Content& below) {
    if (prng_.OneIn(2)) {
      Content before(below.size());
      CreateOptions create;
      create.virtual_size = below.size();
      Must(SyncWait(loop_, FindFormat("raw").value()->Create(host_, "/p.raw", create)));
      auto chain = SyncWait(loop_, Open(host_, "/p.raw", true)).value();
      Must(SyncWait(loop_, WriteDifference(*chain, before, below)));
      Must(SyncWait(loop_, chain->Close()));
      return ParentReference{"p.raw", "raw", std::nullopt};
    }
    Scribble(prng_, below, 6);
    MakeDelta("/p", m1_, below.size(), m1, below);
    return ParentReference{"p", "mica", std::nullopt};
  }

  Async<void> RunJob() {
    const ChainJobOptions options;
    if (job_ == Job::kCommit) co_return co_await RunCommit();
    CO_ASSIGN(const std::unique_ptr<ImageChain> chain, co_await Open(host_, "/d", true));
    if (job_ == Job::kFlatten) {
      if (!chain->layer(0).info().parent) co_return Result<void>();  // done by an earlier run
      CO_TRY(co_await Flatten(loop_, *chain, options));
      co_return co_await chain->Close();
    }
    CO_ASSIGN(const std::unique_ptr<ImageChain> parent, co_await Open(host_, "/m2", false));
    const NewParent target{*parent, m2_};
    CO_TRY(co_await Reparent(loop_, *chain, target, options));
    co_return co_await chain->Close();
  }

  Async<void> RunCommit() {
    CO_ASSIGN(OpenedCommit opened, co_await OpenForCommit(host_, "/d", JobMode::kDo));
    const CommitImages images = opened.images();
    const ChainJobOptions options;
    CO_TRY(co_await Commit(loop_, images, options));
    co_return co_await CloseCommit(opened);
  }

  Async<void> UseSecondHead() {
    CO_ASSIGN(const std::unique_ptr<ImageChain> chain, co_await Open(host_, "/e", true));
    for (uint32_t i = 0; i < 12; ++i) {
      const uint64_t at = prng_.Below(second_size_ / kBlock) * kBlock;
      const Content data(kBlock, static_cast<std::byte>(prng_.Next()));
      second_->BeginWrite(at, data);
      CO_TRY(co_await chain->Write(at, data, Durability::kVolatile));
      second_->Complete({at, kBlock});
      if (!prng_.OneIn(3)) continue;
      const DiskModel::Snapshot snapshot = second_->Completed();
      CO_TRY(co_await chain->Flush());
      second_->Covered(snapshot);
    }
    const DiskModel::Snapshot snapshot = second_->Completed();
    CO_TRY(co_await chain->Close());
    second_->Covered(snapshot);
    co_return Result<void>();
  }

  std::string VerifyDelta(MemoryLoop& loop, MemoryHost& host, bool writable) {
    const auto chain = SyncWait(loop, Open(host, "/d", writable));
    if (!chain) return "open d: " + chain.error().message;
    const Result<Content> content = SyncWait(loop, ReadAll(**chain));
    if (!content) return "read d: " + content.error().message;
    if (*content == seen_) return {};
    const auto at = std::ranges::mismatch(*content, seen_).in1 - content->begin();
    return fmt::format("d reads differently from byte {} of {} on", at, seen_.size());
  }

  std::string VerifySecond(MemoryLoop& loop, MemoryHost& host, bool writable) {
    const auto chain = SyncWait(loop, Open(host, "/e", writable));
    if (!chain) return "open e: " + chain.error().message;
    const Result<Content> content = SyncWait(loop, ReadAll(**chain));
    if (!content) return "read e: " + content.error().message;
    for (uint64_t at = 0; at < content->size(); at += kBlock) {
      const ConstBytes block =
          ConstBytes(*content).subspan(at, std::min(kBlock, content->size() - at));
      if (!second_->Accepts(at / kBlock, block)) return fmt::format("e: block {}", at / kBlock);
    }
    return {};
  }

  const Job job_;
  Prng prng_;
  MemoryLoop loop_;
  MemoryHost host_;
  ParentReference m1_;
  ParentReference m2_;
  Content seen_;  // what the guest of d sees, before, during and after
  uint64_t second_size_ = 0;
  std::optional<DiskModel> second_;
};

class ChainJobsCrash : public ::testing::TestWithParam<Job> {
 protected:
  // Calls `each(seed)` for the seeds of this run.
  template <class Each>
  void ForEachSeed(uint64_t count, const Each& each) {
    const uint64_t only = FromEnvironment("MICA_CRASH_SEED", 0);
    if (only != 0) return each(only);
    count *= FromEnvironment("MICA_CRASH_TIMES", 1);
#if defined(__SANITIZE_ADDRESS__)
    count /= 4;  // ten times slower, and the other builds make the rest
#endif
    for (uint64_t seed = 1; seed <= count && !HasFatalFailure(); ++seed) each(seed);
  }
};

TEST_P(ChainJobsCrash, APowerCutAtEveryChangeLeavesTheGuestsContent) {
  uint64_t cuts = 0;
  ForEachSeed(12, [&](uint64_t seed) {
    Stage stage(GetParam(), seed);
    Prng prng(seed * 7919);
    std::string failure;
    stage.host().faults().DelayCalls(seed, seed % 3);
    stage.host().faults().SetChangeHook([&](const HostCall& call) {
      for (int i = 0; i < 3 && failure.empty(); ++i, ++cuts) {
        const PowerCutPolicy policy = PowerCutPolicy::FromSeed(prng.Next());
        MemoryLoop loop;
        MemoryHost host(loop, {}, stage.host().disk().AfterPowerCut(policy));
        failure = stage.Verify(loop, host, prng.OneIn(2));
        if (failure.empty()) continue;
        failure = fmt::format("after {} of {} at call {}: {}; to repeat: MICA_CRASH_SEED={}",
                              HostCallName(call.kind), call.path, call.number, failure, seed);
      }
    });
    const Result<void> done = stage.Run();
    stage.host().faults().SetChangeHook({});
    ASSERT_EQ(failure, "");
    ASSERT_TRUE(done) << done.error().message << " seed " << seed;
    ASSERT_EQ(stage.Verify(stage.loop(), stage.host(), true), "") << "seed " << seed;
  });
  std::cout << cuts << " cuts\n";
}

TEST_P(ChainJobsCrash, AFailureOfAnyCallLeavesTheGuestsContent) {
  uint64_t failures = 0;
  ForEachSeed(2, [&](uint64_t seed) {
    for (uint64_t n = 1;; ++n, ++failures) {
      Stage stage(GetParam(), seed);
      Fault fault;
      fault.sys_errno = n % 2 == 0 ? 28 : 5;  // ENOSPC, EIO
      uint64_t calls = 0;
      stage.host().faults().SetFaultHook([&](const HostCall&) -> std::optional<Fault> {
        if (++calls != n) return std::nullopt;
        return fault;
      });
      const Result<void> done = stage.RunJobAlone();
      stage.host().faults().SetFaultHook({});
      const bool past_the_end = calls < n;
      ASSERT_EQ(stage.Verify(stage.loop(), stage.host(), true), "")
          << "seed " << seed << " n " << n;
      const Result<void> again = stage.RunJobAlone();
      ASSERT_TRUE(again) << again.error().message << " seed " << seed << " n " << n;
      ASSERT_EQ(stage.Verify(stage.loop(), stage.host(), true), "")
          << "again, seed " << seed << " n " << n;
      if (past_the_end) {
        ASSERT_TRUE(done) << done.error().message;
        break;
      }
    }
  });
  std::cout << failures << " failures\n";
}

std::string JobName(const ::testing::TestParamInfo<Job>& job) {
  constexpr std::array<const char*, 3> kNames = {"Commit", "Flatten", "Reparent"};
  return kNames[static_cast<size_t>(job.param)];
}

INSTANTIATE_TEST_SUITE_P(Jobs, ChainJobsCrash,
                         ::testing::Values(Job::kCommit, Job::kFlatten, Job::kReparent), JobName);

}  // namespace
}  // namespace mica::testing
