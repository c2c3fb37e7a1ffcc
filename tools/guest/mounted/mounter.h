// SPDX-License-Identifier: Apache-2.0
// The worker's side of tools/guest/mounted/mount_protocol.h. While it waits for an answer the loop
// turns, and serves the bytes of the volumes that the answer needs.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/async/event_loop.h"
#include "engine/base/unique_fd.h"
#include "tools/guest/mounted/device_extents.h"
#include "tools/guest/mounted/mount_protocol.h"
#include "tools/guest/volume.h"
#include "tools/guest/volume_writer.h"

namespace mica::guest {

// A request that is being put together.
class MountRequestWriter {
 public:
  explicit MountRequestWriter(MountOperation operation) {
    bytes_.Put(static_cast<uint8_t>(operation));
  }
  MountRequestWriter& Add(std::unsigned_integral auto value) {
    bytes_.Put(value);
    return *this;
  }
  MountRequestWriter& Add(std::string_view text) {
    bytes_.PutText(text);
    return *this;
  }
  [[nodiscard]] ByteWriter& bytes() noexcept { return bytes_; }

 private:
  ByteWriter bytes_;
};

struct MountAnswer {
  std::vector<std::byte> bytes;  // with the first one, which tells results from errors
  UniqueFd descriptor;

  [[nodiscard]] ByteReader reader() const { return ByteReader(ConstBytes(bytes).subspan(1)); }
};

// A socket to a process that runs RunMountService.
class Mounter {
 public:
  Mounter(EventLoop& loop, UniqueFd socket) : loop_(loop), socket_(std::move(socket)) {}

  [[nodiscard]] EventLoop& loop() noexcept { return loop_; }
  // The mounter's errors as they are; kIo when it is gone. Never from a coroutine of the loop.
  Result<MountAnswer> Call(MountRequestWriter request);

 private:
  Async<void> Send(ConstBytes bytes);
  Async<void> Receive(Bytes to, UniqueFd* descriptor);
  Async<MountAnswer> Exchange(std::vector<std::byte> request);

  EventLoop& loop_;
  UniqueFd socket_;
  bool broken_ = false;
};

// A mounted volume. Borrows the mounter.
class RemoteTree final : public Volume {
 public:
  enum class Keep : uint8_t { kNothing, kListings };  // of a volume that never changes

  RemoteTree(Mounter& mounter, uint32_t session, uint64_t root, Keep keep)
      : mounter_(mounter), session_(session), root_(root), keep_(keep) {}

  [[nodiscard]] uint32_t session() const noexcept { return session_; }
  [[nodiscard]] uint64_t root() const noexcept override { return root_; }
  Result<Object> Stat(uint64_t inode) override;
  Result<std::optional<uint64_t>> LookupIn(uint64_t directory, std::string_view leaf) override;
  Result<std::vector<DirectoryEntry>> List(uint64_t directory) override;
  Result<size_t> Read(uint64_t inode, uint64_t offset, Bytes buffer) override;
  Result<std::vector<ByteRange>> StoredRanges(uint64_t inode) override;

  // Where the content of a file lies on the device; empty when nobody can tell.
  Result<std::optional<std::vector<ExtentPlace>>> Extents(uint64_t inode);

 private:
  [[nodiscard]] MountRequestWriter Request(MountOperation operation) const {
    return MountRequestWriter(operation).Add(session_);
  }

  Mounter& mounter_;
  uint32_t session_;
  uint64_t root_;
  Keep keep_;
  // What has been listed, by inode.
  std::unordered_map<uint64_t, std::vector<ExtentPlace>> places_;
  std::unordered_map<uint64_t, std::vector<DirectoryEntry>> listings_;
  std::unordered_map<uint64_t, Object> objects_;
};

// Changes to a volume that is mounted for writing. Borrows the mounter.
class RemoteWriter final : public VolumeWriter {
 public:
  RemoteWriter(Mounter& mounter, uint32_t session) : mounter_(mounter), session_(session) {}

  Result<uint64_t> Create(const Place& at, const NewObject& object) override;
  Result<void> Link(const Place& at, uint64_t inode) override;
  Result<void> Remove(const Place& at) override;
  Result<void> Rename(const Place& from, const Place& to) override;
  Result<void> SetAttributes(uint64_t inode, const Attributes& attributes) override;
  Result<std::unique_ptr<ContentWriter>> OpenContent(uint64_t inode) override;

 private:
  Mounter& mounter_;
  uint32_t session_;
};

}  // namespace mica::guest
