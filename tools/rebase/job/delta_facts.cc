// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/job/delta_facts.h"

#include "engine/digest.h"
#include "engine/window_digests.h"

namespace mica::rebase {

namespace {

// How much is mapped at a time.
constexpr uint64_t kWindowBytes = uint64_t{64} << 20;

class DeltaSurvey {
 public:
  explicit DeltaSurvey(ImageChain& chain) : chain_(chain) {}

  Async<DeltaFacts> Run() {
    const uint64_t size = chain_.info().size;
    for (uint64_t at = 0; at < size;) {
      const ByteRange window = RangeBetween(at, std::min(size, at + kWindowBytes));
      CO_TRY(co_await Look(window));
      at = window.end();
    }
    facts_.digest = digest_.Finish();
    co_return facts_;
  }

 private:
  Async<void> Look(ByteRange window) {
    CO_ASSIGN(const std::vector<StatusExtent> extents,
              co_await chain_.Status(window, kWindowBytes));
    ByteRange range{window.offset, 0};
    for (const StatusExtent& extent : extents) {
      range = ByteRange{range.end(), extent.length};
      if (extent.depth == 1) {
        if (!extent.zero) facts_.stored_bytes += extent.length;
        CO_TRY(co_await Digest(range));
      } else if (!extent.zero && !extent.hole) {
        facts_.shared_bytes += extent.length;
      }
    }
    co_return {};
  }

  Async<void> Digest(ByteRange range) {
    WindowDigests blocks(chain_, range);
    CO_TRY(co_await blocks.Load(range));
    std::array<std::byte, 16> record;
    for (size_t i = 0; i < blocks.size(); ++i) {
      StoreLe<uint64_t>(record, 0, range.offset + i * kDigestBlockBytes);
      StoreLe<uint64_t>(record, 8, blocks[i]);
      digest_.Update(record);
    }
    co_return {};
  }

  ImageChain& chain_;
  StreamDigest digest_;
  DeltaFacts facts_;
};

}  // namespace

Async<DeltaFacts> FactsOfDelta(Host& host, ImageChain& chain, std::filesystem::path file) {
  DeltaSurvey survey(chain);
  CO_ASSIGN(DeltaFacts facts, co_await survey.Run());
  CO_ASSIGN(const FileStat stat, co_await host.Stat(file));
  facts.file_bytes = stat.allocated_bytes;
  co_return facts;
}

}  // namespace mica::rebase
