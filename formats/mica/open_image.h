// SPDX-License-Identifier: Apache-2.0
// OpenImage: an open mica file with all its parts and its background work. Background work keeps
// the image alive until it has ended, so a layer may be destroyed at any time.
#pragma once

#include <memory>
#include <optional>

#include "engine/io/host.h"
#include "formats/mica/committer.h"
#include "formats/mica/image.h"
#include "formats/mica/log_replay.h"
#include "formats/mica/space_keeper.h"
#include "formats/mica/space_returner.h"

namespace mica::native {

class OpenImage final : public std::enable_shared_from_this<OpenImage> {
 public:
  OpenImage(EventLoop& loop, const std::filesystem::path& path, std::unique_ptr<BlockFile> file,
            const SuperblockChoice& chosen, uint64_t granted_end)
      : image(loop, path, std::move(file), chosen, granted_end),
        space(image),
        returner(image, space),
        committer(image, space),
        idle_(loop) {}

  Image image;
  SpaceKeeper space;
  SpaceReturner returner;
  Committer committer;

  // After every change: starts what is due (flush of a large backlog, checkpoint, growth) and sets
  // the timer that flushes what stays behind.
  void Tend();

  // Waits for background work and starts no more.
  Async<void> Quiesce();
  // Quiesces, marks the image clean, and sealed when a digest is given, and gives the room beyond
  // the last slot in use back to the host. Nothing may come after.
  Async<void> CloseClean(std::optional<std::array<uint8_t, 16>> seal_digest);
  // Of an image at rest: long runs of free slots and what lies beyond the last slot in use go back
  // to the host. Reads the whole map, unless the file is very large: then only what was freed since
  // it was opened is given back. Nothing may come after.
  Async<void> GiveBack();
  // The same when enough has become free since it was opened; otherwise only the end goes.
  Async<void> GiveBackIfWorthIt();
  // Starts no more; what runs goes on by itself to its end.
  void Abandon() noexcept;

 private:
  using Self = std::shared_ptr<OpenImage>;
  static Task<void> FlushInBackground(Self self);
  static Task<void> CheckpointInBackground(Self self);
  static Task<void> KeepSpaceInBackground(Self self);
  static Task<void> ReturnSpaceInBackground(Self self);
  static Task<void> ConfirmInBackground(Self self);
  void StartSpaceWork(Task<void> (*work)(Self));
  void Start(Task<void> (*work)(Self));
  void Ended();
  void OnTimer();
  Async<void> CutEnd();
  [[nodiscard]] bool HasBacklog() const noexcept;

  uint32_t running_ = 0;
  bool keeping_space_ = false;
  bool closing_ = false;
  uint64_t surplus_ = 0;  // spare slots that are to go back to the host
  WaitList idle_;
  std::optional<Timer> timer_;
};

// Opens the file, replays the log if it was not closed cleanly, and, for a writable image, makes
// the outcome of the replay durable before anything else. With `salvage` a damaged log is replayed
// as far as it goes, for check and repair.
Async<std::shared_ptr<OpenImage>> OpenMicaFile(Host& host, std::filesystem::path path,
                                               OpenOptions options, LogDamage* salvage = nullptr);

// The same with a file that was opened with these options.
Async<std::shared_ptr<OpenImage>> OpenMicaImage(EventLoop& loop, std::filesystem::path path,
                                                std::unique_ptr<BlockFile> file,
                                                OpenOptions options, LogDamage* salvage = nullptr);

// The snapshot of that name as an image that cannot be written: its map, its size and its history.
// kNotFound when there is none. Without a lock somebody may delete it meanwhile; what is read is
// still verified.
Async<std::shared_ptr<OpenImage>> OpenMicaSnapshot(Host& host, std::filesystem::path path,
                                                   OpenOptions options, std::string name);

}  // namespace mica::native
