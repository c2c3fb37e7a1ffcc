// SPDX-License-Identifier: Apache-2.0
// What depth, size and number cost: images are made and measured through the engine, without NBD.
//
//   bench_chain make DIR DEPTH      a chain of DEPTH parents under DIR/head (DIR/0 is the master)
//   bench_chain read FILE SECONDS   4 KiB random reads at queue depth 32, operations per second
//   bench_chain attach DIR          time of opening a delta, over sizes and after a power cut
//   bench_chain idle DIR COUNT      memory and descriptors of COUNT deltas on one master
//
// bench/peers/chain_peers.py runs it next to qcow2.
#include <fmt/format.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"
#include "engine/base/aligned_buffer.h"
#include "engine/base/prng.h"
#include "engine/io/runtime.h"
#include "formats/open_chain.h"
#include "formats/registry.h"

namespace mica {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using Chain = std::unique_ptr<ImageChain>;

constexpr uint64_t kBlock = 4096;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr uint64_t kDiskBytes = kGiB;
// A quarter of the disk's blocks are in the deltas, however many of them there are.
constexpr uint64_t kDeltaBlocks = kDiskBytes / kBlock / 4;
constexpr size_t kReaders = 32;

double MillisecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

struct NewImage {
  fs::path file;
  uint64_t size = 0;
  std::optional<ParentReference> parent{};
};

Result<void> Create(Host& host, const NewImage& image) {
  CreateOptions options;
  options.virtual_size = image.size;
  options.parent = image.parent;
  ASSIGN(const ImageFormat* const format, FindFormat("mica"));
  return SyncWait(host.loop(), format->Create(host, image.file, options));
}

Result<ParentReference> Seal(Host& host, const fs::path& file) {
  ASSIGN(const ImageFormat* const format, FindFormat("mica"));
  ASSIGN(const LayerIdentity identity, SyncWait(host.loop(), format->Seal(host, file)));
  TRY(SyncWait(host.loop(), PrepareIndex(host, file)));
  return ParentReference{file.filename().string(), "mica", identity};
}

Result<Chain> OpenToWrite(Host& host, const fs::path& file, ParentCache* parents) {
  OpenChainOptions options;
  options.writable = true;
  options.parents = parents;
  return SyncWait(host.loop(), OpenChain(host, file, options));
}

AlignedBuffer RandomBytes(size_t size, uint64_t seed) {
  AlignedBuffer buffer(size);
  Prng prng(seed);
  for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
    StoreLe<uint64_t>(buffer.span(), at, prng.Next());
  }
  return buffer;
}

// The first `bytes` of the disk, in order; neighbours never equal, nothing zero.
Result<void> FillInOrder(Host& host, const fs::path& file, uint64_t bytes) {
  ASSIGN(const Chain chain, OpenToWrite(host, file, nullptr));
  for (uint64_t at = 0; at < bytes; at += kMiB) {
    const AlignedBuffer data = RandomBytes(kMiB, at + 1);
    TRY(SyncWait(host.loop(), chain->Write(at, data.span(), Durability::kVolatile)));
  }
  return SyncWait(host.loop(), chain->Close());
}

Result<void> FillAtRandom(Host& host, const fs::path& file, uint64_t blocks, uint64_t seed) {
  ASSIGN(const Chain chain, OpenToWrite(host, file, nullptr));
  Prng prng(seed);
  for (uint64_t i = 0; i < blocks; ++i) {
    const AlignedBuffer data = RandomBytes(kBlock, seed + i);
    const uint64_t offset = prng.Below(chain->info().size / kBlock) * kBlock;
    TRY(SyncWait(host.loop(), chain->Write(offset, data.span(), Durability::kVolatile)));
  }
  return SyncWait(host.loop(), chain->Close());
}

Result<void> MakeChain(Host& host, const fs::path& directory, size_t depth) {
  fs::create_directories(directory);
  NewImage image{directory / "0", kDiskBytes};
  TRY(Create(host, image));
  TRY(FillInOrder(host, image.file, kDiskBytes));
  for (size_t i = 1; i <= depth; ++i) {
    ASSIGN(image.parent, Seal(host, image.file));
    image.file = directory / (i == depth ? "head" : std::to_string(i));
    TRY(Create(host, image));
    TRY(FillAtRandom(host, image.file, kDeltaBlocks / depth, i));
  }
  return {};
}

struct ReadRun {
  ImageChain& chain;
  Clock::time_point end;
  uint64_t done = 0;
};

Async<void> ReadUntilEnd(ReadRun& run, uint64_t seed) {
  Prng prng(seed);
  AlignedBuffer buffer(kBlock);
  while (Clock::now() < run.end) {
    const uint64_t offset = prng.Below(run.chain.info().size / kBlock) * kBlock;
    CO_TRY(co_await run.chain.Read(offset, buffer.span()));
    ++run.done;
  }
  co_return Result<void>();
}

Result<void> ReadAll(EventLoop& loop, ImageChain& chain, Clock::time_point end, uint64_t& done) {
  ReadRun run{chain, end};
  std::vector<Async<void>> readers;
  for (size_t i = 0; i < kReaders; ++i) readers.push_back(ReadUntilEnd(run, i + 1));
  TRY(SyncWait(loop, WhenAll(loop, std::move(readers))));
  done = run.done;
  return {};
}

Result<void> MeasureReads(Host& host, const fs::path& file, double seconds) {
  ASSIGN(const Chain chain, OpenToWrite(host, file, nullptr));
  AlignedBuffer piece(kMiB);
  for (uint64_t at = 0; at < chain->info().size; at += kMiB) {  // warm, as the peer's page cache
    TRY(SyncWait(host.loop(), chain->Read(at, piece.span())));
  }
  const auto duration =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  uint64_t done = 0;
  TRY(ReadAll(host.loop(), *chain, Clock::now() + duration, done));
  fmt::print("{:.0f}\n", static_cast<double>(done) / seconds);
  return SyncWait(host.loop(), chain->Close());
}

// Opens and closes `file` some times; the first time is apart, for what only it has to do.
Result<void> ReportAttach(Host& host, const fs::path& file, const std::string& what) {
  constexpr int kRounds = 21;
  std::vector<double> times;
  for (int i = 0; i < kRounds; ++i) {
    const Clock::time_point begin = Clock::now();
    ASSIGN(const Chain chain, OpenToWrite(host, file, nullptr));
    times.push_back(MillisecondsSince(begin));
    TRY(SyncWait(host.loop(), chain->Close()));
  }
  const double first = times.front();
  std::ranges::sort(times);
  fmt::print("attach {:<44} median {:6.2f} ms  first {:6.2f} ms\n", what, times[kRounds / 2],
             first);
  return {};
}

// A copy of the image as it is on the disk while it is being written: what a power cut leaves.
Result<void> ReportAttachAfterPowerCut(Host& host, const NewImage& image, uint64_t writes) {
  const fs::path cut = image.file.string() + "-cut";
  TRY(Create(host, image));
  {
    ASSIGN(const Chain chain, OpenToWrite(host, image.file, nullptr));
    const AlignedBuffer data = RandomBytes(kBlock, 3);
    Prng prng(5);
    for (uint64_t i = 0; i < writes; ++i) {
      const uint64_t offset = prng.Below(image.size / kBlock) * kBlock;
      TRY(SyncWait(host.loop(), chain->Write(offset, data.span(), Durability::kVolatile)));
      if (i % 64 == 63) TRY(SyncWait(host.loop(), chain->Flush()));
    }
    fs::copy_file(image.file, cut);
    TRY(SyncWait(host.loop(), chain->Close()));
  }
  const Clock::time_point begin = Clock::now();
  ASSIGN(const Chain chain, OpenToWrite(host, cut, nullptr));
  fmt::print("attach {:<44} once   {:6.2f} ms\n",
             fmt::format("after a power cut, {} writes of 4 KiB", writes),
             MillisecondsSince(begin));
  return SyncWait(host.loop(), chain->Close());
}

Result<void> MeasureAttach(Host& host, const fs::path& directory) {
  fs::create_directories(directory);
  for (const uint64_t gib : {uint64_t{1}, uint64_t{64}, uint64_t{1024}, uint64_t{16384}}) {
    NewImage image{directory / fmt::format("master-{}", gib), gib * kGiB};
    TRY(Create(host, image));
    ASSIGN(image.parent, Seal(host, image.file));
    image.file = directory / fmt::format("delta-{}", gib);
    TRY(Create(host, image));
    TRY(ReportAttach(host, image.file, fmt::format("empty delta, {} GiB disk", gib)));
    if (gib != 64) continue;
    TRY(FillInOrder(host, image.file, kGiB));
    TRY(ReportAttach(host, image.file, "delta of 1 GiB, 64 GiB disk"));
    TRY(FillInOrder(host, image.file, 10 * kGiB));
    TRY(ReportAttach(host, image.file, "delta of 10 GiB, 64 GiB disk"));
    for (const uint64_t writes : {1'000, 20'000, 100'000}) {
      image.file = directory / fmt::format("cut-{}", writes);
      TRY(ReportAttachAfterPowerCut(host, image, writes));
    }
  }
  return {};
}

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

uint64_t OpenDescriptors() {
  const fs::directory_iterator all("/proc/self/fd");
  return static_cast<uint64_t>(std::distance(fs::begin(all), fs::end(all)));
}

void ReportIdle(const char* what, size_t count, uint64_t resident_before,
                uint64_t descriptors_before) {
  ::malloc_trim(0);
  const uint64_t resident = ResidentBytes() - std::min(resident_before, ResidentBytes());
  fmt::print("idle {:>5} deltas, {:<34} {:8.1f} KiB each  {} descriptors in all\n", count, what,
             static_cast<double>(resident) / 1024 / static_cast<double>(count),
             OpenDescriptors() - descriptors_before);
}

// 64 random blocks written and 256 read, as a guest that has booted and gone quiet.
Result<void> UseABit(Host& host, ImageChain& chain, uint64_t seed) {
  AlignedBuffer block = RandomBytes(kBlock, seed);
  Prng prng(seed);
  for (int i = 0; i < 320; ++i) {
    const uint64_t offset = prng.Below(kDiskBytes / kBlock) * kBlock;
    if (i % 5 == 0) {
      TRY(SyncWait(host.loop(), chain.Write(offset, block.span(), Durability::kVolatile)));
    } else {
      TRY(SyncWait(host.loop(), chain.Read(offset, block.span())));
    }
  }
  return SyncWait(host.loop(), chain.Flush());
}

Result<void> MeasureIdle(Host& host, const fs::path& directory, size_t count) {
  fs::create_directories(directory);
  NewImage image{directory / "master", 64 * kGiB};
  TRY(Create(host, image));
  TRY(FillInOrder(host, image.file, kDiskBytes));
  ASSIGN(image.parent, Seal(host, image.file));
  for (size_t i = 0; i < count; ++i) {
    image.file = directory / fmt::format("idle-{}", i);
    TRY(Create(host, image));
  }
  const uint64_t resident = ResidentBytes();
  const uint64_t descriptors = OpenDescriptors();
  ParentCache parents(host);
  std::vector<Chain> chains;
  const Clock::time_point begin = Clock::now();
  for (size_t i = 0; i < count; ++i) {
    ASSIGN(Chain chain, OpenToWrite(host, directory / fmt::format("idle-{}", i), &parents));
    chains.push_back(std::move(chain));
  }
  const double each_ms = MillisecondsSince(begin) / static_cast<double>(count);
  fmt::print("attach {} deltas on one master: {:.3f} ms each\n", count, each_ms);
  ReportIdle("just attached", count, resident, descriptors);
  for (size_t i = 0; i < count; ++i) TRY(UseABit(host, *chains[i], i));
  ReportIdle("after 64 writes and 256 reads each", count, resident, descriptors);
  for (const Chain& chain : chains) TRY(SyncWait(host.loop(), chain->Close()));
  return {};
}

Result<void> Run(Host& host, const std::vector<std::string>& words) {
  if (words.size() == 3 && words[0] == "make") {
    return MakeChain(host, words[1], std::stoul(words[2]));
  }
  if (words.size() == 3 && words[0] == "read") {
    return MeasureReads(host, words[1], std::stod(words[2]));
  }
  if (words.size() == 2 && words[0] == "attach") return MeasureAttach(host, words[1]);
  if (words.size() == 3 && words[0] == "idle") {
    return MeasureIdle(host, words[1], std::stoul(words[2]));
  }
  return Error{
      Errc::kInvalidArgument,
      "usage: bench_chain make DIR DEPTH | read FILE SECONDS | attach DIR | idle DIR COUNT"};
}

int Main(const std::vector<std::string>& words) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  std::unique_ptr<Runtime> runtime = MakePosixRuntime(IoEngineKind::kAuto).value();
  const Result<void> done = Run(runtime->host(), words);
  EventLoop& loop = runtime->loop();
  loop.RunUntil([&loop] { return loop.spawned_tasks() == 0; });
  if (!done) fmt::print(stderr, "bench_chain: {}\n", done.error().message);
  return done ? 0 : 1;
}

}  // namespace
}  // namespace mica

int main(int argc, char** argv) {
  return mica::Main({argv + 1, argv + argc});
}
