// SPDX-License-Identifier: Apache-2.0
// The packer: a few lanes, each with one window of content. A lane reads its window, compresses it
// on a thread of the pool, waits until it is its turn, and appends to the file. So memory is two
// buffers for each lane, and what is written does not depend on who was faster.
#include "formats/mica/packed/packer.h"

#include <fmt/format.h>

#include "engine/async/async_mutex.h"
#include "engine/async/when_all.h"
#include "engine/chunk_codec.h"
#include "engine/digest.h"
#include "formats/mica/packed/pack_source.h"
#include "formats/mica/packed/packed_check.h"
#include "formats/mica/packed/packed_layer.h"
#include "formats/mica/packed/table_writer.h"

namespace mica::packed {

namespace {

constexpr size_t kWindowBytes = size_t{1} << 20;

// A window as it will be stored.
struct PackedWindow {
  explicit PackedWindow(int level) : compressor(level) {}

  struct Chunk {
    size_t content_offset = 0;
    uint32_t content_bytes = 0;
    size_t frame_offset = 0;  // in `frames`, unless it is stored as it is
    uint32_t stored_bytes = 0;
    BlockDigest digest = 0;
  };
  AlignedBuffer content{kWindowBytes};
  AlignedBuffer frames{kWindowBytes};
  std::vector<Chunk> chunks;
  ChunkCompressor compressor;

  [[nodiscard]] ConstBytes Stored(const Chunk& chunk) const {
    if (chunk.stored_bytes == chunk.content_bytes) {
      return content.span().subspan(chunk.content_offset, chunk.content_bytes);
    }
    return frames.span().subspan(chunk.frame_offset, chunk.stored_bytes);
  }
};

// What saves less than 1/16 is stored as it is: it is read faster.
size_t StoredMax(size_t content_bytes) {
  return content_bytes - content_bytes / 16;
}

// The first `bytes` of the window's content.
void CompressWindow(PackedWindow& window, size_t bytes, const PackOptions& options) {
  window.chunks.clear();
  size_t frames_end = 0;
  for (size_t at = 0; at < bytes; at += options.chunk_bytes) {
    PackedWindow::Chunk chunk;
    chunk.content_offset = at;
    chunk.content_bytes = static_cast<uint32_t>(std::min<size_t>(options.chunk_bytes, bytes - at));
    chunk.stored_bytes = chunk.content_bytes;
    const ConstBytes content = window.content.span().subspan(at, chunk.content_bytes);
    const Bytes room = window.frames.span().subspan(frames_end, StoredMax(chunk.content_bytes));
    if (const std::optional<size_t> frame = window.compressor.Compress(content, room)) {
      chunk.frame_offset = frames_end;
      chunk.stored_bytes = static_cast<uint32_t>(*frame);
      frames_end += *frame;
    }
    chunk.digest = DigestBlock(window.Stored(chunk));
    window.chunks.push_back(chunk);
  }
}

class Packer {
 public:
  Packer(EventLoop& loop, native::Image& image, BlockFile& file, const PackOptions& options)
      : loop_(loop),
        source_(image),
        out_(file, kHeaderCopies * kPageBytes),
        options_(options),
        chunk_table_(out_, header_, Table::kChunks),
        pool_(loop, options.threads),
        source_mutex_(loop),
        turns_(loop) {
    const native::Superblock& superblock = image.superblock;
    header_.chunk_bytes = options.chunk_bytes;
    header_.level = options.level;
    header_.identity.uuid = superblock.uuid;
    header_.identity.digest = superblock.seal_digest;
    header_.identity.virtual_size = superblock.virtual_size;
    header_.parent = superblock.parent;
    header_.parent_bytes = superblock.parent_bytes;
  }

  // Everything but the header is in the file afterwards.
  Async<Header> Run() {
    CO_TRY(co_await WriteExtents());
    totals_.goal_bytes = header_.data_blocks * kBlockBytes;
    std::vector<Async<void>> lanes;
    for (uint32_t i = 0; i < options_.threads + 2; ++i) lanes.push_back(RunLane());
    CO_TRY(co_await WhenAll(loop_, std::move(lanes)));
    CO_ASSIGN(header_.chunks, co_await chunk_table_.Finish());
    CO_ASSIGN(header_.file_bytes, co_await out_.Finish());
    header_.stored_bytes = totals_.stored_bytes;
    co_return header_;
  }
  [[nodiscard]] const PackTotals& totals() const noexcept { return totals_; }

 private:
  Async<void> WriteExtents() {
    TableWriter table(out_, header_, Table::kExtents);
    while (true) {
      CO_ASSIGN(const PackedExtent extent, co_await source_.NextExtent());
      if (extent.blocks == 0) break;
      if (extent.state == ExtentState::kData) header_.data_blocks += extent.blocks;
      std::array<std::byte, 16> record{};
      EncodeExtentRecord(extent, record);
      CO_TRY(co_await table.Add(extent.first_block, record));
    }
    CO_ASSIGN(header_.extents, co_await table.Finish());
    co_return Result<void>();
  }

  Async<void> RunLane() {
    Result<void> outcome = co_await RunLaneToEnd();
    if (!outcome) failed_ = true;  // the others need not wait for a turn that never comes
    turns_.NotifyAll();
    co_return outcome;
  }

  Async<void> RunLaneToEnd() {
    PackedWindow packed(options_.level);
    while (!failed_) {
      ContentWindow window;
      uint64_t turn = 0;
      {
        const AsyncMutex::Lock lock = co_await source_mutex_.Acquire();
        CO_ASSIGN(window, co_await source_.NextWindow(kWindowBytes / kBlockBytes));
        turn = next_turn_++;
      }
      if (window.blocks.empty()) break;
      const size_t bytes = window.blocks.size() * kBlockBytes;
      CO_TRY(co_await source_.Read(window, packed.content.span().first(bytes)));
      std::function<void()> work = [&packed, bytes, this] {
        CompressWindow(packed, bytes, options_);
      };
      co_await pool_.Run(std::move(work));
      while (turn_ != turn && !failed_) co_await turns_.Wait();
      if (failed_) break;
      CO_TRY(co_await Append(window, packed));
      ++turn_;
      turns_.NotifyAll();
      if (options_.on_progress) options_.on_progress(totals_);
    }
    co_return Result<void>();
  }

  Async<void> Append(const ContentWindow& window, const PackedWindow& packed) {
    uint64_t number = window.first_rank / header_.BlocksPerChunk();
    std::vector<std::byte> record(RecordBytes(header_, Table::kChunks, 0));
    std::vector<BlockDigest> digests;
    for (const PackedWindow::Chunk& chunk : packed.chunks) {
      CompressedChunk stored;
      CO_ASSIGN(stored.host_offset, co_await out_.Append(packed.Stored(chunk)));
      stored.stored_bytes = chunk.stored_bytes;
      stored.digest = chunk.digest;
      digests.clear();
      const size_t first = chunk.content_offset / kBlockBytes;
      for (size_t i = first; i < first + chunk.content_bytes / kBlockBytes; ++i) {
        digests.push_back(window.blocks[i].digest);
      }
      EncodeChunkRecord(stored, digests, record);
      CO_TRY(co_await chunk_table_.Add(number++, record));
      totals_.content_bytes += chunk.content_bytes;
      totals_.stored_bytes += chunk.stored_bytes;
    }
    co_return Result<void>();
  }

  EventLoop& loop_;
  PackSource source_;
  AppendFile out_;
  const PackOptions& options_;
  Header header_;
  TableWriter chunk_table_;
  WorkerPool pool_;
  AsyncMutex source_mutex_;
  WaitList turns_;
  uint64_t next_turn_ = 0;
  uint64_t turn_ = 0;  // whose turn it is to append
  bool failed_ = false;
  PackTotals totals_;
};

Result<void> CheckSource(const native::Image& image) {
  const native::Superblock& superblock = image.superblock;
  const std::string path = image.path.string();
  if (!superblock.sealed) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("{}: expected a sealed image, found one that can still change; try "
                             "`mica seal {}` first",
                             path, path)};
  }
  return CheckNoSnapshots(image.path, superblock);
}

Async<void> WriteHeader(BlockFile& file, Header header) {
  AlignedBuffer copies(kHeaderCopies * kPageBytes);
  EncodeHeader(header, copies.span().first(kPageBytes));
  EncodeHeader(header, copies.span().subspan(kPageBytes));
  CO_TRY(co_await file.Write(0, copies.span()));
  co_return co_await file.Sync();
}

// Reads all of it from the file and holds it against itself and the seal.
Async<void> Verify(Host& host, std::filesystem::path path, const Header& expected) {
  OpenOptions options;
  options.direct = true;
  options.lock = FileLock::kShared;
  CO_ASSIGN(const std::unique_ptr<BlockFile> file, co_await host.Open(path, options));
  CheckReport report;
  CO_ASSIGN(report, co_await CheckPacked(path, *file, CheckScope::kMetadataAndData));
  if (report.corruptions == 0) {
    CO_ASSIGN(const Header found, co_await ReadHeader(*file));
    if (ContentNameOf(found) == ContentNameOf(expected)) co_return Result<void>();
    report.AddCorruption("the header is not the one that was written", std::nullopt);
  }
  co_return Error{Errc::kCorrupt, fmt::format("{}: what was written does not read back: {}",
                                              path.string(), report.findings.front().what)};
}

}  // namespace

Result<void> CheckOptions(const PackOptions& options) {
  if (!IsChunkSize(options.chunk_bytes)) {
    return Error{Errc::kInvalidArgument, fmt::format("a chunk size of {} bytes; possible are 16K, "
                                                     "32K and 64K",
                                                     options.chunk_bytes)};
  }
  if (options.level < kCompressionLevelMin || options.level > kCompressionLevelMax) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("compression level {}; possible are {} to {}", options.level,
                             kCompressionLevelMin, kCompressionLevelMax)};
  }
  return {};
}

Result<void> CheckNoSnapshots(const std::filesystem::path& path,
                              const native::Superblock& superblock) {
  if (superblock.snapshot_table.snapshots == 0) return {};
  return Error{Errc::kUnsupported,
               fmt::format("{}: expected an image without snapshots, found {}; delete them with "
                           "`mica snapshot delete` if nobody needs them, or copy what the guest "
                           "sees with `mica convert`",
                           path.string(), superblock.snapshot_table.snapshots)};
}

Async<PackTotals> Pack(Host& host, std::filesystem::path source, std::filesystem::path target,
                       PackOptions options) {
  OpenOptions source_options;
  source_options.lock = FileLock::kShared;
  CO_ASSIGN(const std::shared_ptr<native::OpenImage> open,
            co_await native::OpenMicaFile(host, source, source_options));
  CO_TRY(CheckSource(open->image));
  PackTotals totals;
  Header header;
  {
    OpenOptions target_options;
    target_options.writable = true;
    target_options.direct = true;  // read back from the disk, and no cache is spent on it
    target_options.lock = FileLock::kExclusive;
    CO_ASSIGN(const std::unique_ptr<BlockFile> file,
              co_await host.CreateExclusive(target, target_options));
    Packer packer(host.loop(), open->image, *file, options);
    Result<Header> written = co_await packer.Run();
    if (!written) co_return std::move(written).error();
    header = *std::move(written);
    CO_TRY(co_await WriteHeader(*file, header));
    totals = packer.totals();
  }
  CO_TRY(co_await Verify(host, target, header));
  co_return totals;
}

}  // namespace mica::packed
