// SPDX-License-Identifier: Apache-2.0
// FuseFile: a BlockDevice as the one regular file of a FUSE file system, for a kernel that mounts a
// loop device on it. The protocol is libfuse's (Documentation/filesystems/fuse in Linux); here is
// what its few requests mean for a device.
#pragma once

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>

#include <memory>
#include <optional>
#include <vector>

#include "engine/async/event_loop.h"
#include "engine/base/result.h"
#include "engine/base/unique_fd.h"
#include "engine/block_device.h"

namespace mica::guest {

// Lives on a loop and answers whenever that turns. The kernel's side must be gone (`ended`) before
// it is destroyed.
class FuseFile {
 public:
  // `fuse` is an open /dev/fuse that somebody mounts; borrows loop and device.
  static Result<std::unique_ptr<FuseFile>> Serve(EventLoop& loop, BlockDevice& device,
                                                 UniqueFd fuse);
  FuseFile(const FuseFile&) = delete;
  FuseFile& operator=(const FuseFile&) = delete;
  ~FuseFile();

  // Nobody has the file or the file system any more, and everything is answered.
  [[nodiscard]] bool ended() const noexcept { return ended_ && in_flight_ == 0; }
  // The first error of the device: the kernel has heard of it no more than "I/O error".
  [[nodiscard]] const std::optional<Error>& failed() const noexcept { return failed_; }

 private:
  struct Operations;  // what libfuse calls

  FuseFile(EventLoop& loop, BlockDevice& device, UniqueFd fuse)
      : loop_(loop), device_(device), fd_(std::move(fuse)) {}

  Task<void> Run();
  bool TakeRequest();
  void Start(Task<void> answer) { loop_.Spawn(std::move(answer)); }
  Task<void> Read(fuse_req_t request, uint64_t offset, size_t length);
  Task<void> Write(fuse_req_t request, uint64_t offset, std::vector<std::byte> bytes);
  Task<void> Zero(fuse_req_t request, ByteRange range);
  int Note(const Error& error);

  EventLoop& loop_;
  BlockDevice& device_;
  UniqueFd fd_;
  fuse_session* session_ = nullptr;
  std::vector<std::byte> request_;
  size_t in_flight_ = 0;
  bool ended_ = false;
  std::optional<Error> failed_;
};

}  // namespace mica::guest
