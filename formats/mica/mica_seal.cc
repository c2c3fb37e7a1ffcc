// SPDX-License-Identifier: Apache-2.0
// Sealing a mica image: the log is emptied into the map, the digest of the map goes into the
// superblock, and the image is never opened writable again. No data is read or moved.
#include <fmt/format.h>

#include "formats/mica/map_walk.h"
#include "formats/mica/mica_format.h"
#include "formats/mica/open_image.h"
#include "formats/mica/packed/packed_layer.h"
#include "formats/seal_digest.h"

namespace mica {

namespace native {

Async<std::array<uint8_t, 16>> ComputeSealDigest(Image& image) {
  SealDigest seal;
  for (uint64_t block = 0; block < image.map.block_count();) {
    CO_ASSIGN(const BlockMap::Found found, co_await image.map.Find(block));
    if (found.kind == BlockMap::Found::Kind::kLeaf) {
      const uint64_t first = block;
      found.leaf->ForEach([&seal, first](uint32_t index, const LeafEntry& entry) {
        if (entry.slot == kSlotZero) {
          seal.Add(first + index, SealedState::kZero, 0);
        } else if (entry.slot == kSlotSameAsParent) {
          seal.Add(first + index, SealedState::kSameAsParent, 0);
        } else {
          seal.Add(first + index, SealedState::kData, entry.digest);
        }
      });
    }
    block = found.end_block;
  }
  const std::optional<ParentReference>& parent = image.superblock.parent;
  const std::optional<LayerIdentity> no_identity;
  co_return seal.Finish(image.superblock.virtual_size, parent ? parent->identity : no_identity);
}

}  // namespace native

namespace {

LayerIdentity IdentityOf(const native::Superblock& superblock) {
  LayerIdentity identity;
  identity.uuid = superblock.uuid;
  identity.digest = superblock.seal_digest;
  identity.virtual_size = superblock.virtual_size;
  return identity;
}

// The identity of an image that is sealed already, in whatever form; empty if it is not. A sealed
// image does not change any more, so no lock is needed: its children may have it open.
Async<std::optional<LayerIdentity>> IdentityOfSealed(Host& host,
                                                     const std::filesystem::path& path) {
  std::optional<LayerIdentity> identity;
  const OpenOptions options;
  CO_ASSIGN(const std::unique_ptr<BlockFile> file, co_await host.Open(path, options));
  CO_ASSIGN(const bool is_packed, co_await packed::IsPacked(*file));
  if (is_packed) {
    Result<packed::Header> header = co_await packed::ReadHeader(*file);
    if (!header) co_return std::move(header).error().WithContext(path.string());
    identity = header->identity;
    co_return identity;
  }
  const Result<native::SuperblockChoice> chosen = co_await native::ReadSuperblock(*file);
  if (chosen && chosen->superblock.sealed) identity = IdentityOf(chosen->superblock);
  co_return identity;  // of an image that cannot be read, the writable open tells more
}

}  // namespace

Async<LayerIdentity> MicaFormat::Seal(Host& host, const std::filesystem::path& path) const {
  CO_ASSIGN(const std::optional<LayerIdentity> known, co_await IdentityOfSealed(host, path));
  if (known) co_return *known;
  OpenOptions options;
  options.writable = true;
  options.direct = true;
  options.lock = FileLock::kExclusive;
  CO_ASSIGN(const std::shared_ptr<native::OpenImage> open,
            co_await native::OpenMicaFile(host, path, options));
  const std::optional<ParentReference>& parent = open->image.superblock.parent;
  if (parent && !parent->identity) {
    co_return Error{Errc::kInvalidArgument,
                    fmt::format("{}: its parent {} is not sealed, so nothing would keep the sealed "
                                "content from changing; seal the parent first and reparent",
                                path.string(), parent->path)};
  }
  std::optional<std::array<uint8_t, 16>> digest;
  CO_ASSIGN(digest, co_await native::ComputeSealDigest(open->image));
  CO_TRY(co_await open->CloseClean(digest));
  co_return IdentityOf(open->image.superblock);
}

}  // namespace mica
