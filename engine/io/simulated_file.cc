// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "engine/io/simulated_disk.h"

namespace mica {

SimulatedFile::SimulatedFile(std::shared_ptr<SpaceMeter> meter, PagedContent content)
    : meter_(std::move(meter)), content_(std::move(content)), durable_(content_) {
  meter_->used_pages += content_.allocated_pages();
}

SimulatedFile::~SimulatedFile() {
  meter_->used_pages -= content_.allocated_pages();
}

uint64_t SimulatedFile::Fits(ByteRange range) const noexcept {
  if (meter_->limit_pages == std::numeric_limits<uint64_t>::max()) return range.length;
  return content_.PrefixThatFits(range, meter_->free_pages());
}

SimulatedFile::Change SimulatedFile::Log(ChangeKind kind, ByteRange range, ConstBytes data,
                                         uint64_t done_bytes) {
  const uint64_t id = next_id_++;
  const uint64_t pages_before = content_.allocated_pages();
  switch (kind) {
    case ChangeKind::kData:
      content_.Write(range.offset, data);
      break;
    case ChangeKind::kZero:
      content_.Zero(range);
      if (range.end() > content_.size()) content_.Resize(range.end());
      break;
    case ChangeKind::kPunch:
      content_.Punch(range);
      break;
    case ChangeKind::kReserve:
      content_.Reserve(range);
      if (range.end() > content_.size()) content_.Resize(range.end());
      break;
    case ChangeKind::kResize:
      content_.Resize(content_.size() == range.end() ? range.offset : range.end());
      break;
  }
  meter_->used_pages += content_.allocated_pages() - pages_before;  // may wrap to a decrease
  unsynced_.push_back(
      {id, kind, range, std::vector<std::byte>(data.begin(), data.end()), content_.size()});
  return {id, done_bytes};
}

SimulatedFile::Change SimulatedFile::Write(uint64_t offset, ConstBytes buffer) {
  const uint64_t fits = Fits({offset, buffer.size()});
  return Log(ChangeKind::kData, {offset, fits}, buffer.first(fits), fits);
}

SimulatedFile::Change SimulatedFile::Zero(ByteRange range) {
  const uint64_t fits = Fits(range);
  return Log(ChangeKind::kZero, {range.offset, fits}, {}, fits);
}

SimulatedFile::Change SimulatedFile::Punch(ByteRange range) {
  return Log(ChangeKind::kPunch, range, {}, range.length);
}

SimulatedFile::Change SimulatedFile::Reserve(ByteRange range) {
  const uint64_t fits = Fits(range);
  return Log(ChangeKind::kReserve, {range.offset, fits}, {}, fits);
}

SimulatedFile::Change SimulatedFile::Resize(uint64_t size) {
  const uint64_t before = content_.size();
  const ByteRange between = RangeBetween(std::min(size, before), std::max(size, before));
  return Log(ChangeKind::kResize, between, {}, between.length);
}

void SimulatedFile::Complete(uint64_t change_id) noexcept {
  for (auto change = unsynced_.rbegin(); change != unsynced_.rend(); ++change) {
    if (change->id != change_id) continue;
    change->completed_at = tick_;
    return;
  }
}

void SimulatedFile::RemoveCovered(uint64_t begun) {
  std::erase_if(unsynced_, [begun](const LoggedChange& change) {
    return change.completed_at != 0 && change.completed_at < begun;
  });
}

namespace {

template <class Changes>
auto Pointers(const Changes& changes, uint64_t completed_before) {
  std::vector<decltype(&changes.front())> pointers;
  for (const auto& change : changes) {
    if (change.completed_at != 0 && change.completed_at < completed_before) {
      pointers.push_back(&change);
    }
  }
  return pointers;
}

}  // namespace

void SimulatedFile::FinishSync(uint64_t begun) {
  const auto covered = Pointers(unsynced_, begun);
  if (covered.size() == unsynced_.size() && failed_syncs_ == 0) {
    durable_ = content_;  // shares every page
    unsynced_.clear();
    return;
  }
  durable_ = Replay(std::move(durable_), covered, {PowerCutKind::kKeepAll, 0}, 0);
  RemoveCovered(begun);
}

void SimulatedFile::FailSync(uint64_t begun, uint64_t seed) {
  ++failed_syncs_;
  const auto covered = Pointers(unsynced_, begun);
  durable_ = Replay(std::move(durable_), covered, {PowerCutKind::kSectors, seed}, 0);
  RemoveCovered(begun);
}

void SimulatedFile::ReplayData(PagedContent& content, const LoggedChange& change, uint64_t position,
                               const PowerCutFate& fate) {
  const ConstBytes data = change.data;
  if (fate.all_data_arrived()) {
    content.Write(change.range.offset, data);
    return;
  }
  // Runs of sectors with one fate are written together.
  uint64_t run_begin = change.range.offset;
  bool run_arrived = false;
  for (uint64_t at = change.range.offset; at < change.range.end();) {
    const uint64_t sector = at / kSectorBytes;
    const bool arrived = position < fate.SectorEnd(sector);
    if (arrived != run_arrived) {
      if (run_arrived) {
        content.Write(run_begin, data.subspan(run_begin - change.range.offset, at - run_begin));
      }
      run_begin = at;
      run_arrived = arrived;
    }
    at = std::min((sector + 1) * kSectorBytes, change.range.end());
  }
  if (run_arrived) {
    content.Write(run_begin, data.subspan(run_begin - change.range.offset));
  }
}

PagedContent SimulatedFile::Replay(PagedContent content,
                                   const std::vector<const LoggedChange*>& changes,
                                   const PowerCutPolicy& policy, uint64_t salt) {
  if (changes.empty()) return content;
  std::vector<ByteRange> data_ranges;
  data_ranges.reserve(changes.size());
  for (const LoggedChange* change : changes) {
    data_ranges.push_back(change->kind == ChangeKind::kData ? change->range : ByteRange{});
  }
  const PowerCutFate fate(policy, salt, data_ranges);
  uint64_t size = content.size();
  for (uint64_t i = 0; i < changes.size(); ++i) {
    const LoggedChange& change = *changes[i];
    const bool metadata_arrived = i < fate.metadata_end();
    if (metadata_arrived) size = change.size_after;
    if (change.kind == ChangeKind::kData) {
      ReplayData(content, change, i, fate);
      continue;
    }
    if (!metadata_arrived) continue;
    switch (change.kind) {
      case ChangeKind::kZero:
        content.Zero(change.range);
        break;
      case ChangeKind::kReserve:
        content.Reserve(change.range);
        break;
      default:
        content.Punch(change.range);
        break;  // a resize leaves zeroes between the two sizes
    }
  }
  content.Resize(size);
  return content;
}

PagedContent SimulatedFile::AfterPowerCut(const PowerCutPolicy& policy, uint64_t salt) const {
  std::vector<const LoggedChange*> changes;
  changes.reserve(unsynced_.size());
  for (const LoggedChange& change : unsynced_) changes.push_back(&change);
  return Replay(durable_, changes, policy, salt);
}

void SimulatedFile::Damage(uint64_t offset, ConstBytes bytes) {
  const uint64_t pages_before = content_.allocated_pages();
  content_.Write(offset, bytes);
  durable_.Write(offset, bytes);
  meter_->used_pages += content_.allocated_pages() - pages_before;
}

}  // namespace mica
