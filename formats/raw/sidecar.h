// SPDX-License-Identifier: Apache-2.0
// The sidecar of a sealed raw file, FILE.seal: who the master is and one XXH3-64 per 4 KiB block of
// it. All integers little-endian.
//
//   offset bytes
//        0     8  magic "MICASEAL"
//        8     4  version, 1
//       12     4  bytes per digested block, 4096
//       16    16  UUID
//       32     8  size of the raw file in bytes
//       40     8  modification time of the raw file, ns since the epoch
//       48    16  seal digest (SealDigest in formats/seal_digest.h)
//       64     8  number of digests
//       72  4016  zero
//     4088     8  XXH64 of bytes 0 to 4087
//     4096     …  the digests, 8 bytes each; the last block may be shorter than 4096 bytes
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "engine/extent.h"
#include "engine/io/host.h"
#include "engine/layer.h"

namespace mica {

inline constexpr uint32_t kSidecarBlockBytes = 4096;
inline constexpr size_t kSidecarHeaderBytes = 4096;

struct SidecarHeader {
  LayerIdentity identity;   // virtual_size is the size of the raw file
  int64_t modified_ns = 0;  // of the raw file when it was sealed
  friend bool operator==(const SidecarHeader&, const SidecarHeader&) = default;
};

std::filesystem::path SidecarPath(const std::filesystem::path& raw_path);

// `block` is kSidecarHeaderBytes long.
void EncodeSidecarHeader(const SidecarHeader& header, Bytes block) noexcept;
// Any input. kCorrupt, or kUnsupported for a newer version.
Result<SidecarHeader> DecodeSidecarHeader(ConstBytes block);

// An open sidecar. Digests are read in chunks when they are first needed; a bounded number of
// chunks stays in memory. Calls may overlap. Loop thread only.
class Sidecar {
 public:
  // kNotFound when there is none, kCorrupt when it is damaged or shorter than its header says.
  static Async<std::unique_ptr<Sidecar>> Open(Host& host, const std::filesystem::path& raw_path);

  Sidecar(std::unique_ptr<BlockFile> file, const SidecarHeader& header)
      : file_(std::move(file)), header_(header) {}

  [[nodiscard]] const SidecarHeader& header() const noexcept { return header_; }

  // Digests of the blocks [first_block, first_block + count), all inside the raw file.
  Async<std::vector<BlockDigest>> Digests(uint64_t first_block, uint64_t count);

 private:
  using Chunk = std::vector<BlockDigest>;
  Async<std::shared_ptr<const Chunk>> LoadChunk(uint64_t index);

  std::unique_ptr<BlockFile> file_;
  SidecarHeader header_;
  std::map<uint64_t, std::shared_ptr<const Chunk>> chunks_;
  std::list<uint64_t> loaded_order_;  // oldest first
};

}  // namespace mica
