// SPDX-License-Identifier: Apache-2.0
#include "tests/model/chain_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/async/sync_wait.h"
#include "engine/async/when_all.h"
#include "formats/open_chain.h"
#include "formats/registry.h"

namespace mica::testing {

namespace {

constexpr uint64_t kBlock = 4096;
constexpr uint64_t kMiB = uint64_t{1} << 20;

void Fill(Prng& prng, Bytes bytes) {
  const auto value = static_cast<std::byte>(prng.Next());
  std::ranges::fill(bytes, value);
  // Not all the same, so that a shifted block is seen.
  for (size_t i = 0; i < bytes.size(); i += 512) bytes[i] = static_cast<std::byte>(prng.Next());
}

}  // namespace

ChainModel::ChainModel(Host& host, std::filesystem::path directory, uint64_t seed)
    : host_(host), directory_(std::move(directory)), prng_(seed) {}

std::filesystem::path ChainModel::Path(const std::string& name) const {
  return directory_ / name;
}

Result<void> ChainModel::Wrong(std::string what) const {
  return Error{Errc::kCorrupt, std::move(what)};
}

std::string ChainModel::Run(uint32_t rounds) {
  doing_ = "setup";
  Result<void> done = SyncWait(host_.loop(), Setup());
  for (round_ = 1; done && round_ <= rounds; ++round_) done = SyncWait(host_.loop(), Round());
  if (done && chain_ != nullptr) done = SyncWait(host_.loop(), CloseDisk());
  chain_.reset();
  if (done) return {};
  return fmt::format("round {}, {}: {}", round_, doing_, done.error().message);
}

Async<void> ChainModel::Setup() {
  // Sizes that end inside a block, a sector, on a block, and on a leaf of the map.
  const uint64_t size = kMiB + prng_.Below(3 * kMiB);
  CO_TRY(co_await MakeMaster("m0", "raw", size));
  CO_TRY(co_await MakeMaster("m1", "mica", size + prng_.Below(3) * 700));
  CO_TRY(co_await MakeMaster("m2", "raw", AlignDown(size, kBlock) + prng_.Below(2) * kMiB));
  CO_TRY(co_await MakeMaster("m3", "mica", 2 * kMiB));
  const Master& master = masters_[prng_.Below(masters_.size())];
  uint64_t disk_size = master.size + (prng_.OneIn(2) ? prng_.Below(kMiB) : 0);
  CO_TRY(co_await MakeDelta(disk_, master.reference, disk_size));
  CO_TRY(co_await OpenDisk());
  reference_.resize(disk_size);
  CO_TRY(co_await chain_->Read(0, reference_));  // what the masters hold was checked when made
  co_return Result<void>();
}

Async<void> ChainModel::MakeMaster(std::string name, std::string format, uint64_t size) {
  CO_ASSIGN(const ImageFormat* const image_format, FindFormat(format));
  CreateOptions create;
  create.virtual_size = size;
  CO_TRY(co_await image_format->Create(host_, Path(name), create));
  CO_ASSIGN(std::unique_ptr<ImageChain> chain, co_await Open(name, format, true));
  Content content(size);
  for (int i = 0; i < 12; ++i) {
    const uint64_t begin = prng_.Below(size);
    const uint64_t length = std::min<uint64_t>(size - begin, 1 + prng_.Below(200000));
    const Bytes part = std::span(content).subspan(begin, length);
    Fill(prng_, part);
    CO_TRY(co_await chain->Write(begin, part, Durability::kVolatile));
  }
  Content back(size);
  CO_TRY(co_await chain->Read(0, back));
  if (back != content) co_return Wrong("a master reads differently from what was written");
  CO_TRY(co_await chain->Close());
  chain.reset();
  CO_ASSIGN(const LayerIdentity identity, co_await image_format->Seal(host_, Path(name)));
  Master master;
  master.name = name;
  master.size = size;
  master.reference.path = name;
  master.reference.format = format;
  master.reference.identity = identity;
  masters_.push_back(master);
  co_return Result<void>();
}

Async<void> ChainModel::MakeDelta(std::string name, std::optional<ParentReference> parent,
                                  uint64_t size) {
  CO_ASSIGN(const ImageFormat* const format, FindFormat("mica"));
  CreateOptions create;
  create.virtual_size = size;
  create.parent = std::move(parent);
  create.extra["log_size"] = std::to_string(8 * kBlock);  // wraps, and forces checkpoints
  co_return co_await format->Create(host_, Path(name), create);
}

Async<std::unique_ptr<ImageChain>> ChainModel::Open(std::string name, std::string format,
                                                    bool writable) {
  OpenChainOptions options;
  options.writable = writable;
  options.format = std::move(format);
  co_return co_await OpenChain(host_, Path(name), options);
}

Async<void> ChainModel::OpenDisk() {
  CO_ASSIGN(chain_, co_await Open(disk_, "mica", true));
  co_return Result<void>();
}

Async<void> ChainModel::CloseDisk() {
  const Result<void> closed = co_await chain_->Close();
  chain_.reset();
  co_return closed;
}

Async<void> ChainModel::Round() {
  switch (prng_.Below(19)) {
    case 0:
      co_return co_await Reopen();
    case 1:
      co_return co_await DoReparent();
    case 2:
      if (prng_.OneIn(3)) co_return co_await DoFlatten();
      co_return co_await Compare();
    case 3:
      co_return co_await TryOut();
    case 4:
      co_return co_await Resize();
    case 5:
      co_return co_await UseSnapshots();
    case 6:
      co_return co_await Compact();
    default:
      doing_ = "requests";
      co_return co_await Batch();
  }
}

ByteRange ChainModel::RandomRange() {
  const uint64_t size = reference_.size();
  const uint64_t begin = prng_.Below(size);
  const uint64_t most = prng_.OneIn(10) ? size : 5 * kBlock;
  ByteRange range{begin, std::min(size - begin, 1 + prng_.Below(most))};
  if (prng_.OneIn(2)) range = Intersect(AlignOutward(range, kBlock), ByteRange{0, size});
  if (prng_.OneIn(12)) range.length = size - range.offset;  // to the end of the disk
  return range;
}

ChainModel::Request ChainModel::RandomRequest() {
  Request request;
  request.range = RandomRange();
  if (prng_.OneIn(8)) request.durability = Durability::kForced;
  switch (prng_.Below(12)) {
    case 0:
    case 1:
    case 2:
      request.kind = Request::Kind::kRead;
      break;
    case 3:
      request.kind = Request::Kind::kZero;
      if (prng_.OneIn(3)) request.hint = ZeroHint::kKeepSpace;
      break;
    case 4:
      request.kind = Request::Kind::kDiscard;
      break;
    case 5:
      request.kind = Request::Kind::kFlush;
      break;
    case 6:
      request.kind = Request::Kind::kStatus;
      break;
    default:
      request.kind = Request::Kind::kWrite;
      request.data.resize(request.range.length);
      Fill(prng_, request.data);
      if (prng_.OneIn(10)) FillZero(request.data);
  }
  return request;
}

void ChainModel::ApplyToReference(const Request& request) {
  const auto at = reference_.begin() + static_cast<ptrdiff_t>(request.range.offset);
  if (request.kind == Request::Kind::kWrite) std::ranges::copy(request.data, at);
  if (request.kind == Request::Kind::kZero) std::fill_n(at, request.range.length, std::byte{0});
}

// Requests in flight together, of which no two touch one block, so that what each must see is
// known.
Async<void> ChainModel::Batch() {
  std::vector<Request> requests;
  const size_t wanted = 1 + prng_.Below(8);
  for (size_t i = 0; i < wanted; ++i) {
    Request request = RandomRequest();
    const ByteRange blocks = AlignOutward(request.range, kBlock);
    const bool free = std::ranges::none_of(requests, [&](const Request& other) {
      return AlignOutward(other.range, kBlock).Overlaps(blocks);
    });
    if (free) requests.push_back(std::move(request));
  }
  std::vector<Async<void>> calls;
  for (Request& request : requests) calls.push_back(Do(request));
  CO_TRY(co_await WhenAll(host_.loop(), std::move(calls)));
  for (const Request& request : requests) {
    ApplyToReference(request);
    if (request.kind == Request::Kind::kDiscard) CO_TRY(co_await CheckDiscarded(request.range));
  }
  co_return Result<void>();
}

Async<void> ChainModel::Do(Request& request) {
  const ByteRange range = request.range;
  switch (request.kind) {
    case Request::Kind::kWrite:
      co_return co_await chain_->Write(range.offset, request.data, request.durability);
    case Request::Kind::kZero:
      co_return co_await chain_->WriteZeroes(range, request.hint, request.durability);
    case Request::Kind::kDiscard:
      co_return co_await chain_->Discard(range, request.durability);
    case Request::Kind::kFlush:
      co_return co_await chain_->Flush();
    case Request::Kind::kStatus:
      co_return co_await CheckStatus(range);
    case Request::Kind::kRead:
      break;
  }
  Content back(range.length);
  CO_TRY(co_await chain_->Read(range.offset, back));
  if (std::equal(back.begin(), back.end(),
                 reference_.begin() + static_cast<ptrdiff_t>(range.offset))) {
    co_return Result<void>();
  }
  co_return Wrong(fmt::format("a read of {} bytes at {} is wrong", range.length, range.offset));
}

// Each byte is zero or as before, and which one stays so.
Async<void> ChainModel::CheckDiscarded(ByteRange range) {
  const Bytes now = std::span(reference_).subspan(range.offset, range.length);
  Content back(range.length);
  CO_TRY(co_await chain_->Read(range.offset, back));
  for (size_t i = 0; i < back.size(); ++i) {
    if (back[i] == now[i]) continue;
    if (back[i] != std::byte{0}) {
      co_return Wrong(fmt::format("byte {} is neither discarded nor kept", range.offset + i));
    }
    now[i] = std::byte{0};
  }
  co_return Result<void>();
}

Async<void> ChainModel::CheckStatus(ByteRange range) {
  const size_t extents_max = 1 + prng_.Below(20);
  CO_ASSIGN(const std::vector<StatusExtent> extents, co_await chain_->Status(range, extents_max));
  uint64_t at = range.offset;
  for (const StatusExtent& extent : extents) {
    const ConstBytes part =
        ConstBytes(reference_).subspan(at, std::min(extent.length, reference_.size() - at));
    if (extent.zero && !IsZero(part)) co_return Wrong(fmt::format("{} is not zero", at));
    if (extent.length == 0) co_return Wrong("an empty extent");
    at += extent.length;
  }
  const bool whole = extents.size() < extents_max ? at == range.end() : at <= range.end();
  if (whole && extents.size() <= extents_max && !extents.empty()) co_return Result<void>();
  co_return Wrong(fmt::format("the status of {} bytes at {} covers up to {} in {} extents",
                              range.length, range.offset, at, extents.size()));
}

Async<void> ChainModel::CheckAll() {
  Content back(reference_.size());
  CO_TRY(co_await chain_->Read(0, back));
  if (back == reference_) co_return Result<void>();
  const auto at = std::ranges::mismatch(back, reference_).in1 - back.begin();
  co_return Wrong(fmt::format("the disk of {} bytes differs from byte {} on", back.size(), at));
}

}  // namespace mica::testing
