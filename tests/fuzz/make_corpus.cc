// SPDX-License-Identifier: Apache-2.0
// Writes the corpus of the mica fuzz targets: `make_corpus tests/fuzz/corpus`. The files are in the
// tree; run it again after a change of the format.
#include <filesystem>
#include <fstream>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/prng.h"
#include "engine/image_chain.h"
#include "engine/io/memory_host.h"
#include "formats/index_file.h"
#include "formats/mica/log_page.h"
#include "formats/mica/mica_format.h"
#include "formats/mica/region_codec.h"
#include "formats/mica/superblock.h"
#include "formats/open_chain.h"

namespace {

using namespace mica;  // NOLINT(google-build-using-namespace)

void Save(const std::filesystem::path& path, ConstBytes bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  const std::string_view text = AsText(bytes);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
}

void SaveDecoderInput(const std::filesystem::path& path, uint8_t choice, ConstBytes bytes) {
  std::vector<std::byte> input{std::byte{choice}};
  input.insert(input.end(), bytes.begin(), bytes.end());
  Save(path, input);
}

// A small image with a map and, unless it is closed, a log.
std::vector<std::byte> MakeImage(bool close) {
  MemoryLoop loop;
  MemoryHost host(loop);
  CreateOptions create;
  create.virtual_size = (4 << 20) + 700;
  create.extra["log_size"] = "32768";
  create.extra["uuid"] = "00112233-4455-4677-8899-aabbccddeeff";
  const MicaFormat format;
  SyncWait(loop, format.Create(host, "/d", create)).value();
  for (const bool last : {false, true}) {
    OpenChainOptions open;
    open.writable = true;
    auto chain = SyncWait(loop, OpenChain(host, "/d", open)).value();
    const std::vector<std::byte> data(8192, std::byte{last ? uint8_t{7} : uint8_t{9}});
    SyncWait(loop, chain->Write(last ? 4096 : 0, data, Durability::kForced)).value();
    SyncWait(loop, chain->Discard({0, 4096}, Durability::kForced)).value();
    if (!last || close) SyncWait(loop, chain->Close()).value();
  }
  loop.RunUntil([&loop] { return loop.spawned_tasks() == 0; });
  std::vector<std::byte> content = host.Content("/d").value();
  // Room at the end of the file is not worth keeping in the tree.
  while (content.size() > 4096 && IsZero(ConstBytes(content).last(4096))) {
    content.resize(content.size() - 4096);
  }
  return content;
}

// With snapshots, quotas, former sizes and lost epochs.
std::vector<std::byte> SuperblockWithHistory() {
  native::Superblock superblock;
  superblock.virtual_size = 1 << 30;
  superblock.parent_bytes = 1 << 20;
  superblock.epoch = 30;
  superblock.log = {2, 8};
  superblock.high_water = 100;
  superblock.snapshot_table = {50, 2, 1234, 3};
  superblock.kept_epoch = 20;
  superblock.quota_soft = 1 << 28;
  superblock.quota_hard = 1 << 29;
  superblock.history.AddResize(4, 1 << 29);
  superblock.history.AddResize(9, 1 << 28);
  superblock.history.AddRevert(9, 15);
  superblock.roots[0] = {60, 20, 77};
  std::vector<std::byte> block(native::kSlotBytes);
  native::EncodeSuperblock(superblock, block);
  return block;
}

// A packed image of all kinds of extents and chunks. With `blocks` far apart, its tables have more
// than one level.
std::vector<std::byte> MakePackedImage(uint32_t chunk_bytes, uint32_t blocks) {
  MemoryLoop loop;
  MemoryHost host(loop);
  CreateOptions create;
  create.virtual_size = (16 << 20) + 700;
  create.extra["log_size"] = "32768";
  create.extra["uuid"] = "00112233-4455-4677-8899-aabbccddeeff";
  const MicaFormat format;
  SyncWait(loop, format.Create(host, "/d", create)).value();
  OpenChainOptions open;
  open.writable = true;
  auto chain = SyncWait(loop, OpenChain(host, "/d", open)).value();
  Prng prng(1);
  for (uint32_t i = 0; i < blocks; ++i) {
    const std::vector<std::byte> data(4096, static_cast<std::byte>(i));
    SyncWait(loop, chain->Write(i * 8192, data, Durability::kVolatile)).value();
  }
  std::vector<std::byte> noise(12288);
  for (std::byte& byte : noise) byte = static_cast<std::byte>(prng.Next());
  SyncWait(loop, chain->Write(12 << 20, noise, Durability::kVolatile)).value();
  SyncWait(loop, chain->Write(16 << 20, ConstBytes(noise).first(700), Durability::kVolatile))
      .value();
  SyncWait(loop, chain->Discard({13 << 20, 1 << 20}, Durability::kVolatile)).value();
  SyncWait(loop, chain->Close()).value();
  chain.reset();
  SyncWait(loop, format.Seal(host, "/d")).value();
  PackOptions pack;
  pack.level = 1;
  pack.chunk_bytes = chunk_bytes;
  SyncWait(loop, format.Pack(host, "/d", "/p", pack)).value();
  return host.Content("/p").value();
}

// The index file of a stack of three layers.
std::vector<std::byte> MakeIndex() {
  MemoryLoop loop;
  MemoryHost host(loop);
  IndexFileHeader header;
  header.layers = 3;
  header.regions = 2;
  IndexFile file(host, "/p.index", header, {});
  IndexRegion region;
  region.Append(0, 7, {Owner::Kind::kLayer, 2});
  region.Append(7, 9, {Owner::Kind::kZero, 0});
  region.Append(20, 21, {Owner::Kind::kMixed, 0});
  region.Append(21, kIndexRegionBlocks, {Owner::Kind::kLayer, 1});
  std::vector<std::pair<uint32_t, IndexRegion>> built = {{0, region}, {1, IndexRegion()}};
  SyncWait(loop, file.Save(std::move(built))).value();
  return host.Content("/p.index").value();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::filesystem::path root = argv[1];
  const std::vector<std::byte> clean = MakeImage(true);
  const std::vector<std::byte> unclean = MakeImage(false);
  Save(root / "mica_image" / "clean", clean);
  Save(root / "mica_image" / "unclean", unclean);
  Save(root / "packed_image" / "small", MakePackedImage(65536, 10));
  Save(root / "packed_image" / "levels", MakePackedImage(16384, 400));
  Save(root / "chain_index" / "three_layers", MakeIndex());
  const std::filesystem::path decoders = root / "mica_decoders";
  SaveDecoderInput(decoders / "superblock", 0, ConstBytes(clean).first(4096));
  SaveDecoderInput(decoders / "superblock_with_history", 0, SuperblockWithHistory());
  native::RecordBatch batch;
  const std::vector<BlockDigest> digests = {1, 2, 3};
  batch.AddData(10, 20, digests);
  batch.AddState(native::RecordKind::kZero, 100, 7);
  uint64_t last_hash = 0;
  const native::LogPageHeader header;
  SaveDecoderInput(decoders / "log_page", 1,
                   native::EncodeLogPages(batch, header, last_hash).span());
  auto sparse = std::make_shared<native::Leaf>();
  sparse->Set(5, {77, 1, 99});
  auto uniform = std::make_shared<native::Leaf>();
  uniform->SetRange(0, native::kBlocksPerLeaf, {native::kSlotZero, 1, 0});
  const std::vector<native::RegionItem> items = {
      {0, sparse, {}}, {3, nullptr, {40, 41, 1, 5}}, {8, uniform, {}}, {9, uniform, {}}};
  const std::vector<native::SlotRun> runs = {{100, 1}};
  SaveDecoderInput(decoders / "region", 2, native::EncodeRegion({1, 2, 3}, items, runs).span());
  native::RootBlock block(native::kRegionsPerRoot);
  block[3] = {50, 2, 1234};
  std::vector<std::byte> bytes(2 * native::kSlotBytes);
  native::EncodeRootBlock(block, bytes);
  SaveDecoderInput(decoders / "root_block", 3, ConstBytes(bytes).first(native::kSlotBytes));
  native::EncodeDenseLeaf(*sparse, bytes);
  SaveDecoderInput(decoders / "dense_leaf", 4, bytes);
  return 0;
}
