// SPDX-License-Identifier: Apache-2.0
// What checking an image is asked for, and what it says.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/range.h"

namespace mica {

enum class CheckScope : uint8_t { kMetadata, kMetadataAndData };

enum class CheckRepair : uint8_t {
  kNone,
  kLeaks,  // gives leaked space back and restores second copies; no data is given up
  kAll,    // also gives up what is damaged, so that the image can be used again
};

struct CheckOptions {
  // NOLINTNEXTLINE(google-explicit-constructor): a scope alone is a whole request.
  CheckOptions(CheckScope wanted = CheckScope::kMetadata) : scope(wanted) {}

  CheckScope scope;
  CheckRepair repair = CheckRepair::kNone;
  // May be empty; called often, must be quick. Bytes of data that were read and that there are.
  std::function<void(uint64_t done_bytes, uint64_t total_bytes)> on_progress;
};

// As `qemu-img check` counts: leaks waste space, corruptions lose data.
struct CheckReport {
  uint64_t blocks_checked = 0;
  uint64_t leaked_bytes = 0;
  uint64_t corruptions = 0;
  // Damage that costs nothing, because there is a second copy.
  uint64_t harmless = 0;
  struct Finding {
    std::string what;                // one sentence, names guest and file offsets
    std::optional<ByteRange> guest;  // what the guest lost, if anything
  };
  std::vector<Finding> findings;  // the first kFindingsMax
  static constexpr size_t kFindingsMax = 1000;

  // What a repair has done. The other members tell what is left after it.
  struct Lost {
    enum class Now : uint8_t { kZero, kParent };
    ByteRange guest;
    Now reads = Now::kZero;  // zeroes, or what the parent has there
  };
  std::vector<std::string> repairs;
  std::vector<Lost> lost;  // all of it, in the order of the disk; neighbours merged

  void AddCorruption(std::string what, std::optional<ByteRange> guest) {
    ++corruptions;
    AddFinding(std::move(what), guest);
  }
  void AddLeak(std::string what, uint64_t bytes) {
    leaked_bytes += bytes;
    AddFinding(std::move(what), std::nullopt);
  }
  void AddHarmless(std::string what) {
    ++harmless;
    AddFinding(std::move(what), std::nullopt);
  }

 private:
  void AddFinding(std::string what, std::optional<ByteRange> guest) {
    if (findings.size() < kFindingsMax) findings.push_back({std::move(what), guest});
  }
};

}  // namespace mica
