// SPDX-License-Identifier: Apache-2.0
#include "engine/io/memory_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/checked_math.h"
#include "engine/io/in_flight.h"

namespace mica {

namespace {

constexpr uint64_t kFileSizeMax = uint64_t{1} << 62;

}  // namespace

MemoryFile::MemoryFile(MemoryHost& host, std::string path, std::shared_ptr<SimulatedFile> file,
                       const OpenOptions& options)
    : host_(host),
      path_(std::move(path)),
      file_(std::move(file)),
      options_(options),
      failed_syncs_seen_(file_->failed_syncs()) {
  if (options.direct) limits_.request_alignment = host.options_.direct_request_alignment;
}

MemoryFile::~MemoryFile() {
  MICA_CHECK(in_flight_ == 0);
  if (options_.lock == FileLock::kExclusive) file_->exclusive_lock = false;
  if (options_.lock == FileLock::kShared) --file_->shared_locks;
}

Async<uint64_t> MemoryFile::Size() {
  const InFlight guard(in_flight_);
  const HostCall call = host_.faults_.Begin(HostCallKind::kSize, path_, {});
  if (host_.faults_.delays()) co_await host_.Delay();
  if (const std::optional<Fault> fault = host_.faults_.FaultFor(call)) {
    co_return InjectedError(call, *fault);
  }
  co_return file_->content().size();
}

Async<void> MemoryFile::Read(uint64_t offset, Bytes buffer) {
  const InFlight guard(in_flight_);
  const HostCall call =
      host_.faults_.Begin(HostCallKind::kRead, path_, ByteRange{offset, buffer.size()});
  if (!FitsInside(call.range, kFileSizeMax)) co_return ErrnoError(EINVAL, "read " + path_);
  if (host_.faults_.delays()) co_await host_.Delay();
  if (const std::optional<Fault> fault = host_.faults_.FaultFor(call)) {
    co_return InjectedError(call, *fault);
  }
  for (uint64_t done = 0; done < buffer.size();) {
    const uint64_t length =
        std::min(host_.faults_.PartLength(buffer.size() - done), uint64_t{buffer.size()} - done);
    file_->content().Read(offset + done, buffer.subspan(done, length));
    done += length;
    if (host_.faults_.delays()) co_await host_.Delay();
  }
  co_return Result<void>();
}

Result<void> MemoryFile::CheckChange(const HostCall& call) const {
  if (!options_.writable) {
    return Error{Errc::kReadOnly, EBADF,
                 fmt::format("{} {}: opened read-only", HostCallName(call.kind), path_)};
  }
  if (!FitsInside(call.range, kFileSizeMax)) {
    return ErrnoError(EFBIG, fmt::format("{} {}", HostCallName(call.kind), path_));
  }
  return {};
}

SimulatedFile::Change MemoryFile::Apply(const HostCall& call, ByteRange part, ConstBytes data) {
  file_->modified_ns = ++host_.change_clock_ns_;
  switch (call.kind) {
    case HostCallKind::kWrite:
      return file_->Write(part.offset, data);
    case HostCallKind::kWriteZeroes:
      return file_->Zero(part);
    case HostCallKind::kDeallocate:
      return file_->Punch(part);
    default:
      return file_->Reserve(part);
  }
}

Async<void> MemoryFile::FinishChange(HostCall call, uint64_t change_id) {
  host_.faults_.Changed(call);
  if (host_.faults_.delays()) co_await host_.Delay();
  file_->Complete(change_id);
  co_return Result<void>();
}

// Whatever has a range: data, zeroes, allocation. `data` is empty unless it is a write.
Async<void> MemoryFile::Change(HostCall call, ConstBytes data) {
  const InFlight guard(in_flight_);
  CO_TRY(CheckChange(call));
  if (host_.faults_.delays()) co_await host_.Delay();
  const std::optional<Fault> fault = host_.faults_.FaultFor(call);
  uint64_t wanted = call.range.length;
  if (fault) wanted = std::min(wanted, fault->partial_bytes);
  for (uint64_t done = 0; done < wanted;) {
    uint64_t length = wanted - done;
    ConstBytes part_data;
    if (call.kind == HostCallKind::kWrite) {
      length = std::min(length, host_.faults_.PartLength(length));
      part_data = data.subspan(done, length);
    }
    const ByteRange part = {call.range.offset + done, length};
    const SimulatedFile::Change change = Apply(call, part, part_data);
    CO_TRY(co_await FinishChange(call, change.id));
    if (change.done_bytes < length) {
      co_return ErrnoError(ENOSPC, fmt::format("{} {}", HostCallName(call.kind), path_));
    }
    done += length;
  }
  if (fault) co_return InjectedError(call, *fault);
  co_return Result<void>();
}

Async<void> MemoryFile::Write(uint64_t offset, ConstBytes buffer) {
  const ByteRange range{offset, buffer.size()};
  return Change(host_.faults_.Begin(HostCallKind::kWrite, path_, range), buffer);
}

Async<void> MemoryFile::WriteZeroes(ByteRange range, ZeroMode mode) {
  const HostCallKind kind =
      mode == ZeroMode::kAllocate ? HostCallKind::kWriteZeroes : HostCallKind::kDeallocate;
  return Change(host_.faults_.Begin(kind, path_, range), {});
}

Async<void> MemoryFile::Allocate(ByteRange range) {
  return Change(host_.faults_.Begin(HostCallKind::kAllocate, path_, range), {});
}

Async<void> MemoryFile::Resize(uint64_t size) {
  const InFlight guard(in_flight_);
  const HostCall call = host_.faults_.Begin(HostCallKind::kResize, path_, ByteRange{size, 0});
  CO_TRY(CheckChange(call));
  if (host_.faults_.delays()) co_await host_.Delay();
  if (const std::optional<Fault> fault = host_.faults_.FaultFor(call)) {
    co_return InjectedError(call, *fault);
  }
  file_->modified_ns = ++host_.change_clock_ns_;
  const SimulatedFile::Change change = file_->Resize(size);
  CO_TRY(co_await FinishChange(call, change.id));
  co_return Result<void>();
}

Async<void> MemoryFile::Sync() {
  const InFlight guard(in_flight_);
  const HostCall call = host_.faults_.Begin(HostCallKind::kSync, path_, {});
  const uint64_t begun = file_->BeginSync();
  if (host_.faults_.delays()) co_await host_.Delay();
  if (file_->failed_syncs() != failed_syncs_seen_) {
    co_return ErrnoError(EIO, "sync " + path_ + " (an earlier sync failed)");
  }
  if (const std::optional<Fault> fault = host_.faults_.FaultFor(call)) {
    file_->FailSync(begun, call.number);
    co_return InjectedError(call, *fault);
  }
  file_->FinishSync(begun);
  host_.faults_.Changed(call);
  if (host_.faults_.delays()) co_await host_.Delay();
  co_return Result<void>();
}

}  // namespace mica
