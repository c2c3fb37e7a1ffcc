// SPDX-License-Identifier: Apache-2.0
// Layer: the format seam. A layer is one image of a chain; it says where bytes live and moves none
// of the guest's. ImageChain does all reading, writing, copy-on-write and zero-filling, once, for
// every format and every I/O engine.
//
// A write is a sequence of named steps, so that a crash test can cut between any two:
//   PrepareWrite   reserves clusters; nothing changes for readers or after a crash
//   (the chain moves the data into the plan's targets)
//   PublishWrite   the mapping points at the new data, for readers at once, durable after Flush
//   CancelWrite    instead of PublishWrite when moving the data failed
//   Flush          everything published so far survives a power cut
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/async/task.h"
#include "engine/extent.h"
#include "engine/io/block_file.h"

namespace mica {

using Uuid = std::array<uint8_t, 16>;
using ContentName = std::array<uint8_t, 16>;

// What makes a sealed image recognisable, wherever its file lies.
struct LayerIdentity {
  Uuid uuid{};
  std::array<uint8_t, 16> digest{};  // over the content, computed by seal
  uint64_t virtual_size = 0;
  friend bool operator==(const LayerIdentity&, const LayerIdentity&) = default;
};

struct ParentReference {
  std::string path;    // as recorded; relative to the directory of the child's file
  std::string format;  // "mica", "raw", …; never guessed
  std::optional<LayerIdentity> identity;  // empty when the parent's format has none
};

// How a layer of compressed chunks is stored, for people.
struct CompressionInfo {
  std::string codec;           // "zstd"
  int level = 0;               // what it was compressed with
  uint32_t chunk_bytes = 0;    // of content, compressed together
  uint64_t content_bytes = 0;  // stored blocks before compression
  uint64_t stored_bytes = 0;   // and after
};

struct LayerInfo {
  std::string format;
  std::string path;                 // of the image file, for messages
  uint64_t virtual_size = 0;        // bytes
  uint32_t cluster_bytes = 0;       // allocation unit, a power of two; writes are prepared in it
  uint32_t digest_block_bytes = 0;  // 0: this layer has no checksums
  bool writable = false;
  bool sealed = false;
  bool unmaps_quickly = false;  // Unmap never writes as many bytes as it unmaps
  std::optional<ParentReference> parent;
  // Of the parent (and all below it) only so many bytes show through; what follows reads zero.
  // A layer whose Map says kZero there leaves this alone.
  uint64_t parent_bytes = UINT64_MAX;
  std::optional<LayerIdentity> identity;  // sealed layers that can be named as a parent
  std::optional<CompressionInfo> compression;
};

// Keeps the host ranges that a Mapping names from being reused while the chain reads them. Destroy
// it (any time, loop thread) when the bytes have been moved.
class ReadPin {
 public:
  ReadPin() = default;
  ReadPin(const ReadPin&) = delete;
  ReadPin& operator=(const ReadPin&) = delete;
  virtual ~ReadPin() = default;
};

struct Mapping {
  std::vector<Extent> extents;       // exact cover of the asked range, in order, neighbours merged
  std::vector<BlockDigest> digests;  // see Extent::first_digest
  std::vector<CompressedChunk> chunks;  // see Extent::chunk
  // Names the content that chunks come from: equal for files with equal chunks, in any process.
  ContentName content{};
  std::unique_ptr<ReadPin> pin;  // empty when the layer never moves data
};

// Where the bytes of a write go. Targets cover the range exactly, in order. The chain fills in
// `digests`: one per digest_block_bytes of the range, over exactly the bytes that reach the file
// (the block at the end of the device may be short).
struct WritePlan {
  struct Target {
    ByteRange guest;
    uint64_t host_offset = 0;
  };
  ByteRange range;
  std::vector<Target> targets;
  std::vector<BlockDigest> digests;
  uint64_t token = 0;  // the layer's own
};

class ParentControl;
class SnapshotControl;
class SpaceControl;

// What can be done to an open layer besides moving data; a null pointer where its format cannot.
// Owned by the layer.
struct LayerControls {
  SnapshotControl* snapshots = nullptr;  // engine/snapshot_control.h: states kept inside the image
  SpaceControl* space = nullptr;         // engine/space_control.h: what it takes of the host
  ParentControl* parent = nullptr;       // engine/parent_control.h: what it stands on
};

// Calls may overlap in time. The chain holds a lock on the guest clusters of a write from Prepare
// to Publish, so calls that change overlapping ranges never overlap in time. Loop thread only.
class Layer {
 public:
  Layer() = default;
  Layer(const Layer&) = delete;
  Layer& operator=(const Layer&) = delete;
  virtual ~Layer() = default;

  [[nodiscard]] virtual const LayerInfo& info() const noexcept = 0;

  virtual LayerControls controls() noexcept { return {}; }

  // The file that Extent::host_offset and WritePlan::Target::host_offset point into.
  virtual BlockFile& data_file() noexcept = 0;

  // Where `range` (inside the virtual size) lives. The chain asks a checksumming layer only for
  // whole digest blocks (the last one cut at the virtual size), so that what is read can be
  // verified. kCorrupt when the layer's own metadata fails its checks.
  virtual Async<Mapping> Map(ByteRange range) = 0;

  // `range` consists of whole clusters, except that it may end at the virtual size. kNoSpace when
  // no cluster can be had; kReadOnly for sealed layers.
  virtual Async<WritePlan> PrepareWrite(ByteRange range) = 0;
  virtual Async<void> PublishWrite(WritePlan plan) = 0;
  virtual void CancelWrite(WritePlan plan) noexcept = 0;

  // Whole clusters become kZero or kUnallocated (of a layer without a parent both read zero).
  virtual Async<void> Unmap(ByteRange range, ExtentKind becomes) = 0;

  // Completes when everything published and unmapped before the call survives a power cut. After a
  // failure every later Flush fails, until the image is opened again.
  virtual Async<void> Flush() = 0;

  // Flushes and marks the image clean. The layer must have no calls in flight and accepts none
  // afterwards. A failing file is never marked clean. A layer that is not writable need not be
  // closed.
  virtual Async<void> Close() = 0;
};

}  // namespace mica
