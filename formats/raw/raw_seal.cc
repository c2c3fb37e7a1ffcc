// SPDX-License-Identifier: Apache-2.0
// Sealing and checking raw files: everything that reads a whole raw file.
#include <fmt/format.h>

#include <algorithm>

#include "engine/base/aligned_buffer.h"
#include "engine/digest.h"
#include "formats/identity_text.h"
#include "formats/raw/raw_format.h"
#include "formats/raw/sidecar.h"
#include "formats/seal_digest.h"

namespace mica {

namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;
constexpr size_t kPieceDigests = kPieceBytes / kSidecarBlockBytes;

// Digests of the blocks of [offset, offset + at most kPieceBytes) of a file of `size` bytes.
Async<std::vector<BlockDigest>> DigestPiece(BlockFile& file, uint64_t offset, uint64_t size,
                                            Bytes buffer) {
  const Bytes piece = buffer.first(std::min<uint64_t>(kPieceBytes, size - offset));
  CO_TRY(co_await file.Read(offset, piece));
  std::vector<BlockDigest> digests;
  for (size_t at = 0; at < piece.size(); at += kSidecarBlockBytes) {
    const size_t block_bytes = std::min<size_t>(kSidecarBlockBytes, piece.size() - at);
    digests.push_back(DigestBlock(piece.subspan(at, block_bytes)));
  }
  co_return digests;
}

// Reads the whole of `raw` and writes its digests behind the header's place in `sidecar`.
Async<std::array<uint8_t, 16>> WriteDigests(BlockFile& raw, uint64_t size, BlockFile& sidecar) {
  SealDigest seal;
  AlignedBuffer piece(kPieceBytes);
  AlignedBuffer table(kPieceDigests * sizeof(BlockDigest));
  for (uint64_t offset = 0; offset < size; offset += kPieceBytes) {
    CO_ASSIGN(const std::vector<BlockDigest> digests,
              co_await DigestPiece(raw, offset, size, piece.span()));
    const uint64_t first = offset / kSidecarBlockBytes;
    for (size_t i = 0; i < digests.size(); ++i) {
      seal.Add(first + i, SealedState::kData, digests[i]);
      StoreLe<uint64_t>(table.span(), i * sizeof(BlockDigest), digests[i]);
    }
    const ConstBytes used = std::as_const(table).span().first(digests.size() * sizeof(BlockDigest));
    CO_TRY(co_await sidecar.Write(kSidecarHeaderBytes + first * sizeof(BlockDigest), used));
  }
  const std::optional<LayerIdentity> no_parent;
  co_return seal.Finish(size, no_parent);
}

// The UUID of an earlier seal of the same content, so that its children keep their parent.
Async<Uuid> ChooseUuid(Host& host, const std::filesystem::path& path,
                       const LayerIdentity& identity) {
  const Result<std::unique_ptr<Sidecar>> old = co_await Sidecar::Open(host, path);
  if (!old) co_return RandomUuid();
  const LayerIdentity& sealed = (*old)->header().identity;
  if (sealed.digest != identity.digest || sealed.virtual_size != identity.virtual_size) {
    co_return RandomUuid();
  }
  co_return sealed.uuid;
}

Async<std::unique_ptr<BlockFile>> CreateTemporary(Host& host, const std::filesystem::path& path) {
  const Result<void> removed = co_await host.Remove(path);  // left over from an interrupted seal
  if (!removed && removed.error().code != Errc::kNotFound) co_return removed.error();
  OpenOptions options;
  options.writable = true;
  co_return co_await host.CreateExclusive(path, options);
}

Async<SidecarHeader> WriteSidecar(Host& host, const std::filesystem::path& raw_path, BlockFile& raw,
                                  const std::filesystem::path& temporary_path) {
  CO_ASSIGN(const std::unique_ptr<BlockFile> sidecar,
            co_await CreateTemporary(host, temporary_path));
  CO_TRY(co_await raw.Sync());
  CO_ASSIGN(const FileStat before, co_await host.Stat(raw_path));
  SidecarHeader header;
  header.modified_ns = before.modified_ns;
  CO_ASSIGN(const uint64_t size, co_await raw.Size());
  header.identity.virtual_size = size;
  CO_ASSIGN(header.identity.digest, co_await WriteDigests(raw, size, *sidecar));
  CO_ASSIGN(header.identity.uuid, co_await ChooseUuid(host, raw_path, header.identity));
  AlignedBuffer block(kSidecarHeaderBytes);
  EncodeSidecarHeader(header, block.span());
  CO_TRY(co_await sidecar->Write(0, block.span()));
  CO_TRY(co_await sidecar->Sync());
  CO_ASSIGN(const FileStat after, co_await host.Stat(raw_path));
  if (after.modified_ns != before.modified_ns || after.size != before.size) {
    co_return Error{
        Errc::kBusy,
        fmt::format("{}: was changed by somebody while it was being sealed", raw_path.string())};
  }
  co_return header;
}

}  // namespace

Async<LayerIdentity> RawFormat::Seal(Host& host, const std::filesystem::path& path) const {
  OpenOptions options;
  options.writable = true;
  options.lock = FileLock::kExclusive;
  CO_ASSIGN(const std::unique_ptr<BlockFile> raw, co_await host.Open(path, options));
  const std::filesystem::path sidecar_path = SidecarPath(path);
  const std::filesystem::path temporary_path = sidecar_path.string() + ".tmp";
  Result<SidecarHeader> header = co_await WriteSidecar(host, path, *raw, temporary_path);
  if (!header) {
    static_cast<void>(co_await host.Remove(temporary_path));  // the first error is the one to tell
    co_return std::move(header).error();
  }
  CO_TRY(co_await host.Rename(temporary_path, sidecar_path));
  const std::filesystem::path directory = sidecar_path.parent_path();
  CO_TRY(co_await host.SyncDirectory(directory));
  co_return header->identity;
}

Async<void> RawFormat::CheckPackable(Host&, const std::filesystem::path& path,
                                     const PackOptions&) const {
  co_return Error{
      Errc::kUnsupported,
      fmt::format(
          "{}: expected a mica image to compress, found a raw one, which its deltas name as "
          "raw; make a compressed master of it with `mica convert -O mica {} MASTER` and "
          "`mica seal --compress MASTER`, then carry the deltas over with `mica rebase "
          "DELTA --onto MASTER`",
          path.string(), path.string())};
}

Async<PackTotals> RawFormat::Pack(Host& host, const std::filesystem::path& source,
                                  const std::filesystem::path&, const PackOptions& options) const {
  CO_TRY(co_await CheckPackable(host, source, options));
  co_return PackTotals();
}

Async<CheckReport> RawFormat::Check(Host& host, const std::filesystem::path& path,
                                    CheckOptions options) const {
  CheckReport report;
  if (options.repair != CheckRepair::kNone) {
    co_return Error{Errc::kUnsupported,
                    fmt::format("{}: expected no repair to be asked for: a raw image has nothing "
                                "of its own that could be repaired",
                                path.string())};
  }
  const LayerOpenOptions open_options;
  CO_ASSIGN(const std::unique_ptr<Layer> layer, co_await Open(host, path, open_options));
  if (!layer->info().sealed) co_return report;
  if (options.scope == CheckScope::kMetadata) co_return report;
  CO_ASSIGN(const std::unique_ptr<Sidecar> sidecar, co_await Sidecar::Open(host, path));
  const uint64_t size = layer->info().virtual_size;
  SealDigest seal;
  AlignedBuffer piece(kPieceBytes);
  for (uint64_t offset = 0; offset < size; offset += kPieceBytes) {
    CO_ASSIGN(const std::vector<BlockDigest> found,
              co_await DigestPiece(layer->data_file(), offset, size, piece.span()));
    const uint64_t first = offset / kSidecarBlockBytes;
    CO_ASSIGN(const std::vector<BlockDigest> expected,
              co_await sidecar->Digests(first, found.size()));
    for (size_t i = 0; i < found.size(); ++i) {
      seal.Add(first + i, SealedState::kData, expected[i]);
      if (found[i] == expected[i]) continue;
      const uint64_t at = (first + i) * kSidecarBlockBytes;
      const ByteRange guest = RangeBetween(at, std::min<uint64_t>(at + kSidecarBlockBytes, size));
      report.AddCorruption(
          fmt::format("the block at guest offset {} does not match its digest", at), guest);
    }
    report.blocks_checked += found.size();
    if (options.on_progress) options.on_progress(offset + piece.size(), size);
  }
  const std::optional<LayerIdentity> no_parent;
  if (seal.Finish(size, no_parent) != layer->info().identity->digest) {
    report.AddCorruption("the digests in the sidecar do not add up to its seal", std::nullopt);
  }
  co_return report;
}

}  // namespace mica
