// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/mounter.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "engine/async/sync_wait.h"

namespace mica::guest {

namespace {

Error Gone() {
  return {Errc::kIo,
          "the mounter process has ended; the kernel's log (dmesg) may tell why: a file system "
          "that was made to attack it can do that"};
}

// A descriptor that came with a message.
UniqueFd DescriptorOf(msghdr& message) {
  UniqueFd found;
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    int descriptor = -1;
    std::memcpy(&descriptor, CMSG_DATA(header), sizeof descriptor);
    found = UniqueFd(descriptor);
  }
  return found;
}

}  // namespace

Async<void> Mounter::Send(ConstBytes bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::write(socket_.get(), bytes.data(), bytes.size());
    if (sent > 0) bytes = bytes.subspan(static_cast<size_t>(sent));
    if (sent >= 0 || errno == EINTR) continue;
    if (errno != EAGAIN) co_return Gone();
    const Result<void> ready = co_await loop_.WaitReady(socket_.get(), Readiness::kWritable);
    CO_TRY(ready);
  }
  co_return Result<void>();
}

Async<void> Mounter::Receive(Bytes to, UniqueFd* descriptor) {
  while (!to.empty()) {
    iovec part{to.data(), to.size()};
    alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t got = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (got > 0) {
      UniqueFd came = DescriptorOf(message);
      if (came && descriptor != nullptr) *descriptor = std::move(came);
      to = to.subspan(static_cast<size_t>(got));
      continue;
    }
    if (got < 0 && errno == EINTR) continue;
    if (got == 0 || errno != EAGAIN) co_return Gone();
    const Result<void> ready = co_await loop_.WaitReady(socket_.get(), Readiness::kReadable);
    CO_TRY(ready);
  }
  co_return Result<void>();
}

Async<MountAnswer> Mounter::Exchange(std::vector<std::byte> request) {
  std::vector<std::byte> header(sizeof(uint32_t));
  StoreLe<uint32_t>(header, 0, static_cast<uint32_t>(request.size()));
  CO_TRY(co_await Send(header));
  CO_TRY(co_await Send(request));
  MountAnswer answer;
  CO_TRY(co_await Receive(header, &answer.descriptor));
  const auto length = LoadLe<uint32_t>(header, 0);
  if (length == 0 || length > kMountMessageBytesMax) co_return Gone();
  answer.bytes.resize(length);
  CO_TRY(co_await Receive(answer.bytes, nullptr));
  co_return std::move(answer);
}

Result<MountAnswer> Mounter::Call(MountRequestWriter request) {
  if (broken_) return Gone();
  Result<MountAnswer> answer = SyncWait(loop_, Exchange(std::move(request.bytes().bytes())));
  if (!answer) {
    broken_ = true;
    return answer;
  }
  if (answer->bytes.front() != std::byte{0}) return answer;
  ByteReader in = answer->reader();
  return TakeError(in);
}

}  // namespace mica::guest
