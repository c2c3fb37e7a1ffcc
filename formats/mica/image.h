// SPDX-License-Identifier: Apache-2.0
// Image: what the parts of one open mica file share. The parts, by the order in which they use each
// other: SpaceKeeper (room in the file), Checkpointer (writes the map and the superblock),
// Committer (writes the log, group commit), MicaLayer (the format seam). Loop thread only.
#pragma once

#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>

#include "formats/mica/block_map.h"
#include "formats/mica/log_page.h"
#include "formats/mica/log_ring.h"
#include "formats/mica/reclaimer.h"
#include "formats/mica/slot_allocator.h"
#include "formats/mica/space_events.h"
#include "formats/mica/superblock.h"

namespace mica::native {

struct Image {
  // `granted_end`: the file's size in slots.
  Image(EventLoop& event_loop, std::filesystem::path file_path,
        std::unique_ptr<BlockFile> block_file, const SuperblockChoice& chosen, uint64_t granted_end)
      : loop(event_loop),
        path(std::move(file_path)),
        file(std::move(block_file)),
        superblock(chosen.superblock),
        superblock_position(chosen.position),
        superblock_sequence(chosen.superblock.sequence),
        epoch(chosen.superblock.epoch),
        kept_epoch(chosen.superblock.kept_epoch),
        log(chosen.superblock),
        quota{chosen.superblock.quota_soft, chosen.superblock.quota_hard},
        tail_floor(chosen.superblock.high_water),
        // What lies beyond may be a hole: the host is asked before any of it is used.
        slots(chosen.superblock.high_water,
              std::min<uint64_t>(granted_end, chosen.superblock.high_water)),
        reclaimer(slots),
        snapshot_settled(event_loop),
        map(event_loop, *file, reclaimer, chosen.superblock) {}

  EventLoop& loop;
  const std::filesystem::path path;
  std::unique_ptr<BlockFile> file;

  Superblock superblock;         // the newest durable one
  uint32_t superblock_position;  // the slot it is in; the other one is written first
  uint64_t superblock_sequence;  // the highest one that was ever tried
  uint32_t epoch;                // for entries changed now
  uint32_t kept_epoch;           // as in the superblock, or already that of the one being written
  LogRing log;
  RecordBatch pending;          // published, not in the log yet
  uint64_t promised_slots = 0;  // that writes in flight may add to map.checkpoint_slots()
  SpaceQuota quota;             // in force; the superblock follows with the next checkpoint
  SpaceEvents events;
  Slot tail_floor;  // no superblock that may be on the disk expects a longer file
  SlotAllocator slots;
  Reclaimer reclaimer;
  // From the moment in which a snapshot begins to exist until it is durable or has failed.
  bool snapshot_being_made = false;
  WaitList snapshot_settled;
  // Slots whose content lies elsewhere now, which no checkpoint has said yet.
  std::vector<SlotRun> moved;
  BlockMap map;
  // Set when a sync has failed: what is on disk is unknown, nothing can be promised any more.
  std::optional<Error> poison;
  // A revert or a smaller size is on disk and not in memory: only closing is left.
  bool superseded = false;
  // The superblock in use is known to be on disk.
  bool superblock_confirmed = false;

  // Whether blocks that become zero may as well stay absent.
  [[nodiscard]] bool AbsentIsZero() const noexcept { return !superblock.parent; }
  [[nodiscard]] Result<void> CheckHealthy() const;
  // Syncs the file; a failure poisons the image.
  Async<void> Sync();
  // Makes sure that the superblock that was opened is on disk, before the first write to the other
  // place: an earlier process may have died between its two copies, or a sync of its may have
  // failed, so that the copy that was read is not the one on the disk.
  Async<void> ConfirmSuperblock();
};

// Writes `superblock` into slot `position`. No sync.
Async<void> WriteSuperblock(BlockFile& file, const Superblock& superblock, uint32_t position);

// The newest valid superblock of the file. Errors name no path.
Async<SuperblockChoice> ReadSuperblock(BlockFile& file);

}  // namespace mica::native
