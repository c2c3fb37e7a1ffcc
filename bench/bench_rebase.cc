// SPDX-License-Identifier: Apache-2.0
// What the steps of a rebase cost on one VM, in turns with what they replace: the delta-bounded
// diff against a walk of both trees. bench_rebase.sh makes the images and calls this.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/bench_rebase_tree.h"
#include "engine/async/sync_wait.h"
#include "engine/chain_difference.h"
#include "engine/io/runtime.h"
#include "tools/guest/ext4/diff.h"
#include "tools/guest/ext4/index.h"
#include "tools/guest/ext4/index_codec.h"
#include "tools/guest/ext4/view.h"
#include "tools/guest/walk.h"
#include "tools/rebase/job/images.h"

namespace mica::bench {
namespace {

constexpr int kRounds = 7;

// Counts what is read from the device below.
class CountingDevice final : public BlockDevice {
 public:
  explicit CountingDevice(BlockDevice& inner) : inner_(inner) {}
  [[nodiscard]] const DeviceInfo& info() const noexcept override { return inner_.info(); }
  Async<void> Read(uint64_t offset, Bytes buffer) override {
    ++requests;
    bytes += buffer.size();
    return inner_.Read(offset, buffer);
  }
  Async<void> Write(uint64_t offset, ConstBytes buffer, Durability durability) override {
    return inner_.Write(offset, buffer, durability);
  }
  Async<void> WriteZeroes(ByteRange range, ZeroHint hint, Durability durability) override {
    return inner_.WriteZeroes(range, hint, durability);
  }
  Async<void> Discard(ByteRange range, Durability durability) override {
    return inner_.Discard(range, durability);
  }
  Async<void> Flush() override { return inner_.Flush(); }
  Async<std::vector<StatusExtent>> Status(ByteRange range, size_t extents_max) override {
    return inner_.Status(range, extents_max);
  }

  uint64_t requests = 0;
  uint64_t bytes = 0;

 private:
  BlockDevice& inner_;
};

struct Cost {
  double milliseconds = 0;
  uint64_t requests = 0;
  uint64_t bytes = 0;
};

class Measurement {
 public:
  explicit Measurement(Runtime& runtime) : runtime_(runtime) {}

  Result<void> Run(const std::string& vm, const std::string& target) {
    EventLoop& loop = runtime_.loop();
    const rebase::DiskState now{vm, std::nullopt};
    ASSIGN(images_, SyncWait(loop, rebase::OpenImages(runtime_.host(), now, target)));
    ASSIGN(images_.touched_by_vm, SyncWait(loop, RangesAbove(*images_.vm, 1)));
    before_ = std::make_unique<CountingDevice>(*images_.base);
    after_ = std::make_unique<CountingDevice>(*images_.vm);
    TRY(MeasureIndex());
    TRY(MeasureDiffs());
    return SyncWait(loop, rebase::CloseImages(images_));
  }

 private:
  // Opened anew for each measurement: an open volume keeps blocks.
  Result<std::unique_ptr<guest::Ext4View>> View(BlockDevice& disk) {
    return guest::Ext4View::Open(runtime_.loop(), disk, {{0, disk.info().size}});
  }

  Result<void> MeasureIndex();
  Result<void> MeasureDiffs();
  using Step = std::function<Result<size_t>(guest::Ext4View&, guest::Ext4View&)>;
  Result<Cost> Measure(const Step& step, size_t& changes);
  static void Print(std::string_view what, std::vector<Cost> costs, size_t changes);

  Runtime& runtime_;
  rebase::RebaseImages images_;
  std::unique_ptr<CountingDevice> before_;
  std::unique_ptr<CountingDevice> after_;
  guest::Ext4Index index_;
};

double MillisecondsOf(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

Result<void> Measurement::MeasureIndex() {
  std::vector<double> times;
  for (int round = 0; round < 3; ++round) {
    Result<void> outcome;
    ASSIGN(const auto view, View(*before_));
    before_->bytes = 0;
    times.push_back(MillisecondsOf([&] {
      auto built = guest::BuildIndex(view->volume().fs(), view->volume().io());
      if (built) {
        index_ = std::move(*built);
      } else {
        outcome = std::move(built).error();
      }
    }));
    TRY(outcome);
  }
  std::ranges::sort(times);
  fmt::print(
      "index of the master      {:9.1f} ms   {:6.1f} MB read, {:.1f} MB in memory, {:.0f} B "
      "a name\n",
      times[1], double(before_->bytes) / 1e6, double(index_.memory_bytes()) / 1e6,
      double(index_.memory_bytes()) / double(index_.name_count()));
  std::vector<std::byte> encoded;
  const double encode = MillisecondsOf([&] { encoded = guest::EncodeIndex(index_, "bench"); });
  bool decoded = false;
  const double decode = MillisecondsOf([&] { decoded = guest::DecodeIndex(encoded).has_value(); });
  if (!decoded) return Error{Errc::kCorrupt, "the index does not come back"};
  fmt::print("  stored / loaded        {:9.1f} / {:.1f} ms, {:.1f} MB\n", encode, decode,
             double(encoded.size()) / 1e6);
  return {};
}

Result<Cost> Measurement::Measure(const Step& step, size_t& changes) {
  for (CountingDevice* device : {before_.get(), after_.get()}) {
    device->requests = 0;
    device->bytes = 0;
  }
  Result<size_t> outcome = size_t{0};
  Cost cost;
  cost.milliseconds = MillisecondsOf([&] {
    auto before = View(*before_);
    auto after = View(*after_);
    if (before && after) {
      outcome = step(**before, **after);
    } else {
      outcome = Error{Errc::kIo, "cannot open the volumes"};
    }
  });
  ASSIGN(changes, outcome);
  cost.requests = before_->requests + after_->requests;
  cost.bytes = before_->bytes + after_->bytes;
  return cost;
}

void Measurement::Print(std::string_view what, std::vector<Cost> costs, size_t changes) {
  std::ranges::sort(costs, {}, &Cost::milliseconds);
  const Cost& median = costs[costs.size() / 2];
  fmt::print(
      "{:<24} {:9.1f} ms   {:6} requests, {:7.1f} MB read, {} objects changed ({:.1f} to {:.1f})\n",
      what, median.milliseconds, median.requests, double(median.bytes) / 1e6, changes,
      costs.front().milliseconds, costs.back().milliseconds);
}

Result<void> Measurement::MeasureDiffs() {
  const Step diff = [this](guest::Ext4View& before, guest::Ext4View& after) -> Result<size_t> {
    std::vector<ByteRange> touched = images_.touched_by_vm;
    touched.insert(touched.end(), after.replayed().begin(), after.replayed().end());
    ASSIGN(const guest::ChangeSet changes,
           guest::DiffVolumes({before.volume(), index_, after.volume(), std::move(touched)}));
    return changes.objects.size();
  };
  const auto walk = [](guest::CompareContent content) -> Step {
    return [content](guest::Ext4View& before, guest::Ext4View& after) -> Result<size_t> {
      ASSIGN(const guest::WalkResult walked,
             guest::WalkVolumes(before.volume(), after.volume(), {.content = content}));
      return walked.changes.objects.size();
    };
  };
  std::vector<Cost> bounded;
  std::vector<Cost> walked;
  size_t found = 0;
  size_t seen = 0;
  for (int round = 0; round < kRounds; ++round) {
    ASSIGN(const Cost one, Measure(diff, found));
    bounded.push_back(one);
    ASSIGN(const Cost other, Measure(walk(guest::CompareContent::kWhenStatDiffers), seen));
    walked.push_back(other);
  }
  Print("delta-bounded diff", bounded, found);
  Print("walk, metadata", walked, seen);
  size_t all = 0;
  ASSIGN(const Cost everything, Measure(walk(guest::CompareContent::kAlways), all));
  Print("walk, all bytes", {everything}, all);
  std::ranges::sort(bounded, {}, &Cost::milliseconds);
  std::ranges::sort(walked, {}, &Cost::milliseconds);
  const double ratio = walked[kRounds / 2].milliseconds / bounded[kRounds / 2].milliseconds;
  fmt::print("ratio walk (metadata) / delta-bounded: {:.1f}; all bytes / delta-bounded: {:.0f}\n",
             ratio, everything.milliseconds / bounded[kRounds / 2].milliseconds);
  if (found != all) return Error{Errc::kMismatch, "the two ways do not agree"};
  return {};
}

int Measure(const std::string& vm, const std::string& target) {
  auto runtime = MakePosixRuntime(IoEngineKind::kAuto);
  if (!runtime) {
    fmt::print(stderr, "{}\n", runtime.error().message);
    return 1;
  }
  auto done = Measurement(**runtime).Run(vm, target);
  if (!done) {
    fmt::print(stderr, "{}\n", done.error().message);
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace mica::bench

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 4 && words[0] == "make-tree") {
    return mica::bench::MakeTree(words[1], std::stoull(words[2]), std::stoull(words[3])) ? 0 : 1;
  }
  if (words.size() == 4 && words[0] == "change-tree") {
    return mica::bench::ChangeTree(words[1], std::stoull(words[2]), std::stoull(words[3])) ? 0 : 1;
  }
  if (words.size() == 3 && words[0] == "measure") return mica::bench::Measure(words[1], words[2]);
  fmt::print(stderr,
             "usage: bench_rebase make-tree DIR FILES SEED\n"
             "       bench_rebase change-tree DIR OPERATIONS SEED\n"
             "       bench_rebase measure VM-DELTA NEW-MASTER\n");
  return 2;
}
