// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/mica_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/base/parse_size.h"
#include "formats/identity_text.h"
#include "formats/mica/mica_layer.h"
#include "formats/mica/mica_size_estimate.h"
#include "formats/mica/packed/packed_layer.h"
#include "formats/mica/packed/packer.h"

namespace mica {

namespace {

using native::kSlotBytes;

OpenOptions HostOptions(const LayerOpenOptions& options) {
  OpenOptions host_options;
  host_options.writable = options.writable;
  host_options.direct = options.direct;
  host_options.lock = options.lock;
  return host_options;
}

Result<uint32_t> ParseLogSlots(const std::string& key, const std::string& value) {
  uint64_t bytes = 0;
  const char* const end = value.data() + value.size();
  const auto parsed = std::from_chars(value.data(), end, bytes);
  const uint64_t slots = bytes / kSlotBytes;
  if (parsed.ec != std::errc() || parsed.ptr != end || bytes % kSlotBytes != 0 ||
      slots < native::kLogSlotsMin || slots > native::kLogSlotsLimit) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}={}: expected a number of bytes from {} to {}, a multiple of {}",
                             key, value, native::kLogSlotsMin * kSlotBytes,
                             uint64_t{native::kLogSlotsLimit} * kSlotBytes, kSlotBytes)};
  }
  return static_cast<uint32_t>(slots);
}

Result<uint64_t> ParseQuota(const std::string& key, const std::string& value) {
  if (value == "none") return 0;
  Result<uint64_t> bytes = ParseSize(value);
  if (!bytes) return std::move(bytes).error().WithContext(key + "=" + value);
  if (*bytes > 0) return bytes;
  return Error{Errc::kInvalidArgument,
               fmt::format("{}={}: expected a size such as 10G, or none", key, value)};
}

Result<void> CheckQuota(const native::Superblock& superblock) {
  if (superblock.quota_hard == 0 || superblock.quota_soft <= superblock.quota_hard) return {};
  return Error{Errc::kInvalidArgument,
               fmt::format("expected a quota_soft of at most the quota of {} bytes, found {}",
                           superblock.quota_hard, superblock.quota_soft)};
}

Result<native::Superblock> NewSuperblock(const CreateOptions& options) {
  native::Superblock superblock;
  superblock.sequence = 1;
  superblock.uuid = RandomUuid();
  superblock.virtual_size = options.virtual_size;
  superblock.clean = true;
  superblock.parent = options.parent;
  superblock.parent_bytes = options.parent ? options.virtual_size : 0;
  superblock.log = {native::kSlotFirst, native::kLogSlotsDefault};
  for (const auto& [key, value] : options.extra) {
    if (key == "log_size") {
      ASSIGN(superblock.log.count, ParseLogSlots(key, value));
    } else if (key == "log_size_max") {
      ASSIGN(superblock.log_slots_max, ParseLogSlots(key, value));
    } else if (key == "quota") {
      ASSIGN(superblock.quota_hard, ParseQuota(key, value));
    } else if (key == "quota_soft") {
      ASSIGN(superblock.quota_soft, ParseQuota(key, value));
    } else if (key == "uuid") {
      ASSIGN(superblock.uuid, ParseUuid(value));
    } else {
      return Error{Errc::kInvalidArgument,
                   fmt::format("mica images have no option '{}'; known are: log_size, "
                               "log_size_max, quota, quota_soft, uuid",
                               key)};
    }
  }
  TRY(CheckQuota(superblock));
  superblock.high_water = static_cast<native::Slot>(superblock.log.end());
  if (options.virtual_size > native::kVirtualSizeMax) {
    return Error{Errc::kLimit, fmt::format("{} bytes is more than the {} a mica image can have",
                                           options.virtual_size, native::kVirtualSizeMax)};
  }
  if (options.parent) TRY(native::CheckParent(*options.parent));
  return superblock;
}

}  // namespace

bool MicaFormat::Probe(ConstBytes head) const noexcept {
  if (native::LooksLikeSuperblock(head) || packed::LooksPacked(head)) return true;
  return head.size() > kSlotBytes && native::LooksLikeSuperblock(head.subspan(kSlotBytes));
}

Async<std::unique_ptr<Layer>> MicaFormat::Open(Host& host, const std::filesystem::path& path,
                                               const LayerOpenOptions& options) const {
  const OpenOptions host_options = HostOptions(options);
  CO_ASSIGN(std::unique_ptr<BlockFile> file, co_await host.Open(path, host_options));
  CO_ASSIGN(const bool is_packed, co_await packed::IsPacked(*file));
  if (is_packed) {
    if (options.writable) co_return packed::ReadOnly(path);
    if (options.snapshot) {
      co_return Error{Errc::kNotFound,
                      fmt::format("{}: there is no snapshot '{}'; a compressed image has none",
                                  path.string(), *options.snapshot)};
    }
    co_return co_await packed::OpenPacked(path, std::move(file));
  }
  if (options.snapshot) {
    file.reset();
    const std::string name = *options.snapshot;
    CO_ASSIGN(std::shared_ptr<native::OpenImage> view,
              co_await native::OpenMicaSnapshot(host, path, host_options, name));
    co_return std::make_unique<native::MicaLayer>(std::move(view), false);
  }
  CO_ASSIGN(std::shared_ptr<native::OpenImage> open,
            co_await native::OpenMicaImage(host.loop(), path, std::move(file), host_options));
  if (options.cache_limit != nullptr) open->image.map.ShareLimit(options.cache_limit);
  std::unique_ptr<Layer> layer =
      std::make_unique<native::MicaLayer>(std::move(open), options.writable);
  co_return layer;
}

std::unique_ptr<SizeEstimate> MicaFormat::EstimateSize(uint64_t virtual_size) const {
  return std::make_unique<native::MicaSizeEstimate>(virtual_size);
}

Async<void> MicaFormat::Create(Host& host, const std::filesystem::path& path,
                               const CreateOptions& options) const {
  CO_ASSIGN(const native::Superblock superblock, NewSuperblock(options));
  OpenOptions open_options;
  open_options.writable = true;
  open_options.lock = FileLock::kExclusive;
  CO_ASSIGN(const std::unique_ptr<BlockFile> file,
            co_await host.CreateExclusive(path, open_options));
  const ByteRange all{0, uint64_t{superblock.high_water} * kSlotBytes};
  const Result<void> allocated = co_await file->Allocate(all);
  if (!allocated) {
    if (allocated.error().code != Errc::kUnsupported) co_return allocated;
    CO_TRY(co_await file->Resize(all.end()));
  }
  CO_TRY(co_await native::WriteSuperblock(*file, superblock, 0));
  CO_TRY(co_await native::WriteSuperblock(*file, superblock, 1));
  co_return co_await file->Sync();
}

Async<void> MicaFormat::CheckPackable(Host& host, const std::filesystem::path& path,
                                      const PackOptions& options) const {
  CO_TRY(packed::CheckOptions(options));
  const OpenOptions look;  // without a lock: the image may be in use as a parent
  CO_ASSIGN(std::unique_ptr<BlockFile> file, co_await host.Open(path, look));
  CO_ASSIGN(const bool is_packed, co_await packed::IsPacked(*file));
  if (is_packed) {
    co_return Error{Errc::kUnsupported,
                    fmt::format("{}: is compressed already; to compress it in another way, copy it "
                                "with `mica convert` and seal the copy",
                                path.string())};
  }
  Result<native::SuperblockChoice> chosen = co_await native::ReadSuperblock(*file);
  if (!chosen) co_return std::move(chosen).error().WithContext(path.string());
  co_return packed::CheckNoSnapshots(path, chosen->superblock);
}

Async<PackTotals> MicaFormat::Pack(Host& host, const std::filesystem::path& source,
                                   const std::filesystem::path& target,
                                   const PackOptions& options) const {
  CO_TRY(co_await CheckPackable(host, source, options));
  co_return co_await packed::Pack(host, source, target, options);
}

}  // namespace mica
