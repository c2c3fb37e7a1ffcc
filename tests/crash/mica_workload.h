// SPDX-License-Identifier: Apache-2.0
// A seeded random workload on a mica image in a MemoryHost, and the check of what a power cut
// leaves of it. Everything follows from the seed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/async/memory_loop.h"
#include "engine/base/prng.h"
#include "engine/image_chain.h"
#include "engine/io/memory_host.h"
#include "engine/snapshot_control.h"
#include "engine/space_control.h"
#include "tests/crash/snapshot_model.h"

namespace mica::testing {

enum class ParentKind : uint8_t { kNone, kSealedRaw, kSealedMica };

struct WorkloadOptions {
  uint64_t seed = 1;
  ParentKind parent = ParentKind::kNone;
  uint32_t phases = 4;            // each opens the image, works, and closes or abandons it
  uint32_t workers = 3;           // concurrently, each on its own part of the disk
  uint32_t operations = 20;       // per worker and phase
  uint64_t log_bytes = 8 * 4096;  // small, so that it wraps and forces checkpoints
  uint64_t log_bytes_max = 32 * 4096;
  uint64_t space_limit = UINT64_MAX;  // of the host's disk
  uint64_t delay_turns = 3;           // see FaultPlan::DelayCalls
  // Snapshots are made and deleted and the image is compacted while others write; between phases
  // the disk goes back to a snapshot, becomes smaller and larger.
  bool snapshots = false;
};

Result<std::unique_ptr<ImageChain>> OpenToWrite(MemoryHost& host);

// What a guest that knows nothing of sizes finds: zeroes beyond the end.
Result<std::vector<std::byte>> ReadOrZero(EventLoop& loop, ImageChain& chain, ByteRange range);

// Opens `/d` on `host`, reads every block the model knows and compares; checks the image. An empty
// string when all is well, else what is wrong.
std::string VerifyImage(MemoryHost& host, const DiskModel& model, bool writable);

// The same, and reads every snapshot, and compares what differs from it with what is said to have
// changed since.
std::string VerifyWithSnapshots(MemoryHost& host, const DiskModel& model,
                                const SnapshotModel& snapshots, bool writable);

class Workload {
 public:
  // Just over 1 GiB, so that the map has two regions, with an odd end.
  static constexpr uint64_t kDiskBytes = (uint64_t{1} << 30) + 10 * DiskModel::kBlockBytes + 1536;

  explicit Workload(WorkloadOptions options);
  ~Workload();

  [[nodiscard]] MemoryLoop& loop() noexcept { return loop_; }
  [[nodiscard]] MemoryHost& host() noexcept { return *host_; }
  [[nodiscard]] const DiskModel& model() const noexcept { return model_; }
  [[nodiscard]] const SnapshotModel& snapshots() const noexcept { return snapshots_; }
  // That compacting has moved.
  [[nodiscard]] uint64_t compacted_bytes() const noexcept { return compacted_bytes_; }

  // Makes the image and its parent, durably.
  void Create();
  // All phases. Operations may fail when `errors_expected`; otherwise a failure is in failure().
  void Run(bool errors_expected);
  // What was seen to be wrong while running; empty when nothing was.
  [[nodiscard]] const std::string& failure() const noexcept { return failure_; }
  // Opens the image once more without faults, verifies, writes everything anew, and verifies again.
  void RunToCleanEnd();

 private:
  void MakeParent();
  void RunPhase(uint32_t phase);
  bool OpenHead();
  void Abandon();
  void ResolveAll(bool durable);
  Async<void> Work(uint64_t seed, std::vector<ByteRange> extents);
  Async<void> OneOperation(Prng& prng, const std::vector<ByteRange>& extents);
  Async<void> WriteSome(Prng& prng, ByteRange range);
  Async<void> FlushAll();
  Async<void> ReadSome(ByteRange range);
  Async<void> ResolveRange(ByteRange range);
  void Note(std::string what);

  // mica_workload_snapshots.cc
  [[nodiscard]] SnapshotControl& Control();
  Async<void> ChangeSnapshots(Prng& prng);
  Async<void> MakeSnapshot();
  Async<void> DeleteSnapshot(std::string name);
  Async<void> Compact();
  std::string PickSnapshot(Prng& prng) const;
  void ResolveSnapshots();
  void ReplaceDisk(Prng& prng);
  void Revert(Prng& prng);
  void Shrink(Prng& prng);
  bool Grow(uint64_t blocks);
  bool MakeWhole();
  Result<void> WriteLastBlock();
  void NoteUnlessExpected(const Result<void>& done, const char* what);

  const WorkloadOptions options_;
  MemoryLoop loop_;
  std::unique_ptr<MemoryHost> host_;
  DiskModel model_;
  SnapshotModel snapshots_;
  uint32_t snapshots_made_ = 0;
  uint64_t compacted_bytes_ = 0;
  std::unique_ptr<ImageChain> chain_;
  bool errors_expected_ = false;
  std::string failure_;
};

}  // namespace mica::testing
