// SPDX-License-Identifier: Apache-2.0
// Checker: every part of the map against its hash, every slot for being used once and lying inside
// the file, and, when asked, every block against its digest. Changes nothing.
#pragma once

#include <span>

#include "formats/check.h"
#include "formats/mica/check_snapshots.h"
#include "formats/mica/open_image.h"

namespace mica::native {

// What a repair has to know. Ranges and blocks are ascending.
struct Damage {
  struct Blocks {
    uint64_t first;
    uint64_t end;
  };
  std::vector<Blocks> map_parts;  // whose part of the map cannot be trusted
  std::vector<uint64_t> lost;     // blocks whose data is not there
  std::vector<uint64_t> sharing;  // blocks with good data in a slot that something else uses too
  Slot used_end = 0;              // slots from here on are used by nothing
  bool unreadable = false;        // the host could not read some of it
  uint64_t corruptions = 0;       // of the disk as it is, and not of a snapshot
};

class Checker {
 public:
  Checker(Image& image, const CheckOptions& options, CheckReport& report, uint64_t file_slots)
      : image_(image),
        options_(options),
        report_(report),
        file_slots_(file_slots),
        uses_(image.superblock.snapshot_table.slot != 0) {}

  // Fails only when it could not go on.
  Async<void> Run();
  [[nodiscard]] const Damage& damage() const noexcept { return damage_; }

 private:
  struct Item {
    uint64_t block;
    LeafEntry entry;
  };
  enum class Verdict : uint8_t { kGood, kDamaged, kUnreadable };

  Async<void> CheckMap();
  Result<void> MapPartLost(const Error& error, uint64_t block);
  // `user` as SlotUses has it.
  void UseMetadata(SlotRun run, uint64_t user);
  bool Use(Slot slot, uint64_t user, std::string_view who, std::optional<ByteRange> guest);
  Async<void> CheckLeaf(uint64_t first_block, const Leaf& leaf);
  // Data, several reads at a time, in the order of the file.
  Async<void> CheckBatch();
  static Async<void> Work(Checker& checker, size_t& next);
  Async<void> CheckRun(std::span<const Item> items);
  Async<Verdict> CheckOne(const Item& item);
  [[nodiscard]] ByteRange GuestRange(uint64_t block) const noexcept;
  [[nodiscard]] bool Matches(const Item& item, ConstBytes slot) const;
  void Report(const Item& item, Verdict verdict);
  // Whose the slots are that are used twice.
  Async<void> SettleShared();
  Async<void> CheckSeal();

  Image& image_;
  const CheckOptions& options_;
  CheckReport& report_;
  const uint64_t file_slots_;
  SlotUses uses_;
  SlotBitmap twice_;
  bool any_twice_ = false;
  std::vector<Item> batch_;
  std::vector<std::span<const Item>> runs_;  // of batch_
  uint64_t read_bytes_ = 0;
  Damage damage_;
};

}  // namespace mica::native
