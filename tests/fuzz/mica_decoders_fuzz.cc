// SPDX-License-Identifier: Apache-2.0
// Superblock, log page, root block, region and dense leaf decoders. The first byte chooses the
// decoder; checksums are made right, so that the fuzzer gets behind them.
#include <xxhash.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "engine/base/check.h"
#include "formats/mica/log_page.h"
#include "formats/mica/region_codec.h"
#include "formats/mica/superblock.h"

namespace mica::native {
namespace {

constexpr size_t kHashOffset = kSlotBytes - 8;

void TrySuperblock(std::vector<std::byte> block) {
  block.resize(kSlotBytes);
  StoreLe<uint64_t>(block, kHashOffset, XXH64(block.data(), kHashOffset, 0));
  const Result<Superblock> decoded = DecodeSuperblock(block);
  if (!decoded) return;
  std::vector<std::byte> again(kSlotBytes);
  EncodeSuperblock(*decoded, again);
  MICA_CHECK(DecodeSuperblock(again).has_value());
}

void TryLogPage(std::vector<std::byte> page) {
  page.resize(kSlotBytes);
  StoreLe<uint64_t>(page, kHashOffset, XXH3_64bits(page.data(), kHashOffset));
  const uint64_t block_count = uint64_t{1} << 33;
  const Result<LogPage> decoded = DecodeLogPage(page, block_count);
  if (!decoded) return;
  uint64_t last_hash = 0;
  const AlignedBuffer again = EncodeLogPages(decoded->batch, decoded->header, last_hash);
  MICA_CHECK(DecodeLogPage(again.span().first(kSlotBytes), block_count).has_value());
}

void TryRegion(const std::vector<std::byte>& bytes) {
  const Result<std::vector<SlotRun>> runs = DecodeRegionRuns(bytes, 1);
  if (runs) MICA_CHECK(CountSlots(*runs) < kRegionSlotsMax);
  if (bytes.size() < kRegionHeaderBytes) return;
  const uint64_t tag = LoadLe<uint64_t>(bytes, 8);
  const uint32_t index = LoadLe<uint32_t>(bytes, 4);
  const Result<RegionContent> content = DecodeRegion(bytes, tag, index);
  if (!content) return;
  size_t item_bytes = 0;
  for (const RegionItem& item : content->items) {
    item_bytes += item.leaf == nullptr ? kDenseItemBytes : EncodedItemBytes(*item.leaf);
  }
  const std::vector<SlotRun> where = {{100, RegionSlots(item_bytes)}};
  const AlignedBuffer again = EncodeRegion({tag, index, content->birth}, content->items, where);
  MICA_CHECK(DecodeRegion(again.span(), tag, index)->items.size() == content->items.size());
}

}  // namespace
}  // namespace mica::native

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace mica::native;  // NOLINT(google-build-using-namespace)
  if (size == 0) return 0;
  const std::span<const std::byte> input = std::as_bytes(std::span(data, size));
  std::vector<std::byte> bytes(input.begin() + 1, input.end());
  switch (data[0] % 5) {
    case 0:
      TrySuperblock(std::move(bytes));
      break;
    case 1:
      TryLogPage(std::move(bytes));
      break;
    case 2:
      TryRegion(bytes);
      break;
    case 3:
      static_cast<void>(DecodeRootBlock(bytes));
      break;
    default:
      static_cast<void>(DecodeDenseLeaf(bytes));
      break;
  }
  return 0;
}
