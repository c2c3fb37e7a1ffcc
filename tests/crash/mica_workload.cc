// SPDX-License-Identifier: Apache-2.0
#include "tests/crash/mica_workload.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"
#include "formats/mica/mica_format.h"
#include "formats/open_chain.h"
#include "formats/registry.h"

namespace mica::testing {

namespace {

constexpr uint64_t kBlock = DiskModel::kBlockBytes;
constexpr uint64_t kDiskBytes = Workload::kDiskBytes;

// Parts of the disk that meet the borders of the map's leaves and regions, and its odd end.
std::vector<ByteRange> HotExtents() {
  const auto blocks = [](uint64_t first, uint64_t count) {
    return ByteRange{first * kBlock, count * kBlock};
  };
  return {blocks(0, 16), blocks(500, 24), blocks(1024, 136), blocks(262'140, 8),
          RangeBetween(kDiskBytes / kBlock * kBlock - 4 * kBlock, kDiskBytes)};
}

Result<std::unique_ptr<ImageChain>> OpenImage(MemoryHost& host, bool writable) {
  OpenChainOptions options;
  options.writable = writable;
  return SyncWait(host.loop(), OpenChain(host, "/d", options));
}

}  // namespace

Result<std::unique_ptr<ImageChain>> OpenToWrite(MemoryHost& host) {
  return OpenImage(host, true);
}

Result<std::vector<std::byte>> ReadOrZero(EventLoop& loop, ImageChain& chain, ByteRange range) {
  std::vector<std::byte> data(range.length);
  const ByteRange inside = Intersect(range, ByteRange{0, chain.info().size});
  const Bytes part = Bytes(data).first(inside.length);
  const Result<void> read = SyncWait(loop, chain.Read(range.offset, part));
  if (!inside.empty() && !read) return read.error();
  return data;
}

std::string VerifyImage(MemoryHost& host, const DiskModel& model, bool writable) {
  {
    const Result<std::unique_ptr<ImageChain>> chain = OpenImage(host, writable);
    if (!chain) return "open: " + chain.error().message;
    for (const ByteRange& extent : model.extents()) {
      const auto data = ReadOrZero(host.loop(), **chain, extent);
      if (!data) return fmt::format("read at {}: {}", extent.offset, data.error().message);
      for (uint64_t at = 0; at < data->size(); at += kBlock) {
        const ConstBytes block =
            ConstBytes(*data).subspan(at, std::min<size_t>(kBlock, data->size() - at));
        const uint64_t number = (extent.offset + at) / kBlock;
        if (!model.Accepts(number, block)) {
          return fmt::format("block {} holds neither what was flushed nor anything newer{}", number,
                             IsZero(block) ? " (zeroes)" : "");
        }
      }
    }
    const Result<void> closed = SyncWait(host.loop(), (*chain)->Close());
    if (!closed) return "close: " + closed.error().message;
  }
  const MicaFormat format;
  const Result<CheckReport> report =
      SyncWait(host.loop(), format.Check(host, "/d", CheckScope::kMetadataAndData));
  if (!report) return "check: " + report.error().message;
  if (report->corruptions > 0) return "check: " + report->findings.front().what;
  return {};
}

Workload::Workload(WorkloadOptions options)
    : options_(options),
      host_(std::make_unique<MemoryHost>(loop_)),
      model_(kDiskBytes, HotExtents()) {}

Workload::~Workload() {
  Abandon();
}

void Workload::Note(std::string what) {
  if (failure_.empty()) failure_ = std::move(what);
}

void Workload::MakeParent() {
  const std::string format_name = options_.parent == ParentKind::kSealedRaw ? "raw" : "mica";
  const ImageFormat* const format = FindFormat(format_name).value();
  CreateOptions create;
  create.virtual_size = kDiskBytes - 2 * kBlock;  // smaller than its child
  if (!SyncWait(loop_, format->Create(*host_, "/parent", create))) Note("parent: create");
  OpenChainOptions open;
  open.writable = true;
  open.format = format_name;
  const auto chain = SyncWait(loop_, OpenChain(*host_, "/parent", open)).value();
  Prng prng(options_.seed);
  for (const ByteRange& extent : model_.extents()) {
    std::vector<std::byte> data(Intersect(extent, {0, create.virtual_size}).length);
    for (std::byte& byte : data) byte = static_cast<std::byte>(prng.Next());
    if (!SyncWait(loop_, chain->Write(extent.offset, data, Durability::kVolatile))) {
      Note("parent: write");
    }
    model_.BeginWrite(extent.offset, data);
    model_.Complete({extent.offset, data.size()});
  }
  if (!SyncWait(loop_, chain->Close())) Note("parent: close");
}

void Workload::Create() {
  CreateOptions create;
  create.virtual_size = kDiskBytes;
  create.extra["log_size"] = std::to_string(options_.log_bytes);
  create.extra["log_size_max"] = std::to_string(options_.log_bytes_max);
  if (options_.parent != ParentKind::kNone) {
    MakeParent();
    const std::string format = options_.parent == ParentKind::kSealedRaw ? "raw" : "mica";
    const Result<LayerIdentity> identity =
        SyncWait(loop_, FindFormat(format).value()->Seal(*host_, "/parent"));
    if (!identity) return Note("parent: seal: " + identity.error().message);
    create.parent = ParentReference{"parent", format, *identity};
  }
  const MicaFormat format;
  const Result<void> created = SyncWait(loop_, format.Create(*host_, "/d", create));
  if (!created) Note("create: " + created.error().message);
  if (!SyncWait(loop_, host_->SyncDirectory("/"))) Note("create: directory");
  model_.Covered(model_.Completed());
  if (options_.space_limit != UINT64_MAX) {
    host_->disk().SetSpaceLimit(host_->disk().used_bytes() + options_.space_limit);
  }
}

void Workload::Run(bool errors_expected) {
  errors_expected_ = errors_expected;
  host_->faults().DelayCalls(options_.seed, options_.delay_turns);
  for (uint32_t phase = 0; phase < options_.phases && failure_.empty(); ++phase) RunPhase(phase);
}

bool Workload::OpenHead() {
  Result<std::unique_ptr<ImageChain>> chain = OpenImage(*host_, true);
  if (!chain) {
    if (!errors_expected_) Note("open: " + chain.error().message);
    return false;
  }
  chain_ = *std::move(chain);
  return !options_.snapshots || MakeWhole();
}

void Workload::Abandon() {
  chain_.reset();
  loop_.RunUntil([this] { return loop_.spawned_tasks() == 0; });
}

// After a crash of the process (not of the machine): whatever is there now counts.
void Workload::ResolveAll(bool durable) {
  for (const ByteRange& extent : model_.extents()) {
    std::vector<std::byte> data(extent.length);
    const Result<void> read = SyncWait(loop_, chain_->Read(extent.offset, data));
    if (!read) {
      if (!errors_expected_) Note("read: " + read.error().message);
      return;
    }
    for (uint64_t at = 0; at < data.size(); at += kBlock) {
      const ConstBytes block =
          ConstBytes(data).subspan(at, std::min<size_t>(kBlock, data.size() - at));
      const uint64_t number = (extent.offset + at) / kBlock;
      if (!model_.Accepts(number, block)) {
        return Note(fmt::format("block {} is wrong after reopening", number));
      }
      model_.Resolve(number, block, durable);
    }
  }
}

void Workload::RunPhase(uint32_t phase) {
  Prng prng(options_.seed * 1000 + phase);
  if (!OpenHead()) return;
  ResolveAll(true);
  ResolveSnapshots();
  std::vector<Async<void>> workers;
  for (uint32_t i = 0; i < options_.workers; ++i) {
    std::vector<ByteRange> mine;
    for (size_t j = i; j < model_.extents().size(); j += options_.workers) {
      mine.push_back(model_.extents()[j]);
    }
    workers.push_back(Work(prng.Next(), std::move(mine)));
  }
  const Result<void> worked = SyncWait(loop_, WhenAll(loop_, std::move(workers)));
  if (!worked && !errors_expected_) Note("work: " + worked.error().message);
  if (prng.OneIn(3)) return Abandon();
  if (options_.snapshots && prng.OneIn(2)) return ReplaceDisk(prng);
  const DiskModel::Snapshot snapshot = model_.Completed();
  const Result<void> closed = SyncWait(loop_, chain_->Close());
  if (closed) {
    model_.Covered(snapshot);
  } else if (!errors_expected_) {
    Note("close: " + closed.error().message);
  }
  Abandon();
}

Async<void> Workload::Work(uint64_t seed, std::vector<ByteRange> extents) {
  Prng prng(seed);
  for (uint32_t i = 0; i < options_.operations; ++i) {
    const Result<void> done = co_await OneOperation(prng, extents);
    if (!done && !errors_expected_) co_return done;
  }
  co_return Result<void>();
}

Async<void> Workload::OneOperation(Prng& prng, const std::vector<ByteRange>& extents) {
  const ByteRange extent = extents[prng.Below(extents.size())];
  const uint64_t limit =
      prng.OneIn(8) ? extent.length : std::min<uint64_t>(extent.length, 5 * kBlock);
  ByteRange range;
  range.length = 1 + prng.Below(limit);
  range.offset = extent.offset + prng.Below(extent.length - range.length + 1);
  if (prng.OneIn(2)) {  // whole blocks
    range = Intersect(AlignOutward(range, kBlock), extent);
  }
  if (options_.snapshots && prng.OneIn(12)) co_return co_await ChangeSnapshots(prng);
  switch (prng.Below(16)) {
    case 0:
    case 1:
    case 2:
      co_return co_await FlushAll();
    case 3:
      co_return co_await ReadSome(range);
    case 4:
      // Long enough for the timers of the image to fire, once everybody is idle.
      co_await loop_.SleepUntil(loop_.Now() + std::chrono::seconds(3));
      co_return Result<void>();
    default:
      co_return co_await WriteSome(prng, range);
  }
}

Async<void> Workload::WriteSome(Prng& prng, ByteRange range) {
  const uint64_t kind = prng.Below(10);
  const Durability durability = prng.OneIn(6) ? Durability::kForced : Durability::kVolatile;
  Result<void> done;
  if (kind == 0) {
    model_.BeginZero(range);
    done = co_await chain_->WriteZeroes(range, ZeroHint::kMayUnmap, durability);
  } else if (kind == 1) {
    range = AlignOutward(range, kBlock);  // discard leaves parts of blocks alone
    range = Intersect(range, ByteRange{0, kDiskBytes});
    if (range.end() == kDiskBytes && chain_->info().size > kDiskBytes) {
      range = RangeBetween(range.offset, AlignDown(kDiskBytes, kBlock));
    }
    model_.BeginZero(range);
    done = co_await chain_->Discard(range, durability);
  } else {
    std::vector<std::byte> data(range.length);
    for (std::byte& byte : data) byte = static_cast<std::byte>(prng.Next());
    model_.BeginWrite(range.offset, data);
    done = co_await chain_->Write(range.offset, data, durability);
  }
  if (!done) {
    CO_TRY(co_await ResolveRange(range));
    co_return done;
  }
  model_.Complete(range);
  if (durability == Durability::kForced) model_.Covered(model_.CompletedIn(range));
  co_return done;
}

// After a failed change: each block is old or new, and the guest can look.
Async<void> Workload::ResolveRange(ByteRange range) {
  range = Intersect(AlignOutward(range, kBlock), ByteRange{0, kDiskBytes});
  for (uint64_t at = range.offset; at < range.end(); at += kBlock) {
    std::vector<std::byte> data(std::min(kBlock, kDiskBytes - at));
    const Result<void> read = co_await chain_->Read(at, data);
    if (!read) continue;  // the model then accepts both
    if (!model_.Accepts(at / kBlock, data)) Note(fmt::format("block {} is mixed", at / kBlock));
    model_.Resolve(at / kBlock, data, false);
  }
  co_return Result<void>();
}

Async<void> Workload::FlushAll() {
  const DiskModel::Snapshot snapshot = model_.Completed();
  const Result<void> flushed = co_await chain_->Flush();
  if (flushed) model_.Covered(snapshot);
  co_return flushed;
}

Async<void> Workload::ReadSome(ByteRange range) {
  std::vector<std::byte> data(range.length);
  std::vector<std::byte> expected(range.length);
  CO_TRY(co_await chain_->Read(range.offset, data));
  model_.Read(range.offset, expected);
  if (!errors_expected_ && data != expected) {
    Note(fmt::format("a read of {} bytes at {} is wrong", range.length, range.offset));
  }
  co_return Result<void>();
}

void Workload::RunToCleanEnd() {
  errors_expected_ = false;
  host_->faults().DelayCalls(options_.seed, 0);
  if (const std::string wrong = VerifyWithSnapshots(*host_, model_, snapshots_, true);
      !wrong.empty())
    return Note(wrong);
  if (!OpenHead()) return;
  ResolveAll(true);
  for (const ByteRange& extent : model_.extents()) {
    std::vector<std::byte> data(extent.length, std::byte{0x5a});
    model_.BeginWrite(extent.offset, data);
    const Result<void> written =
        SyncWait(loop_, chain_->Write(extent.offset, data, Durability::kForced));
    if (!written) return Note("last write: " + written.error().message);
    model_.Complete(extent);
    model_.Covered(model_.CompletedIn(extent));
  }
  const Result<void> closed = SyncWait(loop_, chain_->Close());
  if (!closed) return Note("last close: " + closed.error().message);
  Abandon();
  if (const std::string wrong = VerifyWithSnapshots(*host_, model_, snapshots_, false);
      !wrong.empty())
    Note(wrong);
}

}  // namespace mica::testing
