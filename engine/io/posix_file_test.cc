// SPDX-License-Identifier: Apache-2.0
// What a PosixFile makes of the answers of an engine, with an engine that answers as it is told.
#include "engine/io/posix_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <vector>

#include "engine/async/memory_loop.h"
#include "engine/async/sync_wait.h"
#include "engine/base/aligned_buffer.h"
#include "engine/io/aligned_file.h"

namespace mica {
namespace {

using testing::HasSubstr;
using Data = std::vector<std::byte>;

// Performs reads and writes at once, after `before` has had its way with the request: a negative
// answer of it becomes the result, a positive one bounds the transfer, 0 leaves the request alone.
class ScriptedEngine final : public IoEngine {
 public:
  explicit ScriptedEngine(EventLoop& loop) : loop_(loop) {}

  void Submit(IoOp& op) override {
    ++calls;
    const int64_t answer = before ? before(op) : 0;
    const uint64_t length =
        answer > 0 ? std::min(op.length, static_cast<uint64_t>(answer)) : op.length;
    const auto offset = static_cast<off_t>(op.offset);
    op.result = 0;
    if (answer < 0) {
      op.result = answer;
    } else if (op.kind == IoOp::Kind::kRead) {
      op.result = ::pread(op.fd, op.data, length, offset);
    } else if (op.kind == IoOp::Kind::kWrite) {
      op.result = ::pwrite(op.fd, op.data, length, offset);
    }
    loop_.Post(op.waiter);
  }

  std::function<int64_t(const IoOp&)> before;
  int calls = 0;

 private:
  EventLoop& loop_;
};

class PosixFileTest : public testing::Test {
 protected:
  std::unique_ptr<PosixFile> Make(uint32_t direct_alignment) {
    UniqueFd fd(::memfd_create("posix_file_test", MFD_CLOEXEC));
    EXPECT_TRUE(fd);
    PosixFileTraits traits;
    traits.writable = true;
    traits.direct_alignment = direct_alignment;
    return std::make_unique<PosixFile>(engine_, std::move(fd), "/some/file", traits);
  }
  Data Read(BlockFile& file, uint64_t offset, size_t length) {
    Data data(length, std::byte{0xee});
    const Result<void> read = SyncWait(loop_, file.Read(offset, data));
    EXPECT_TRUE(read.has_value()) << read.error().message;
    return data;
  }

  MemoryLoop loop_;
  ScriptedEngine engine_{loop_};
};

TEST_F(PosixFileTest, ContinuesShortTransfersAndInterruptedCalls) {
  const auto file = Make(0);
  int turn = 0;
  engine_.before = [&turn](const IoOp&) -> int64_t {
    switch (++turn % 4) {
      case 0:
        return -EINTR;
      case 1:
        return -EAGAIN;
      default:
        return 700;
    }
  };
  Data content(10'000);
  for (size_t i = 0; i < content.size(); ++i) content[i] = std::byte(i * 7);
  ASSERT_TRUE(SyncWait(loop_, file->Write(123, content)));
  EXPECT_GE(engine_.calls, 15);
  EXPECT_EQ(Read(*file, 123, content.size()), content);
}

TEST_F(PosixFileTest, DirectReadsEndAtAnOddShortTransferAndGoOnAfterAnEvenOne) {
  const auto file = Make(512);
  ASSERT_TRUE(SyncWait(loop_, file->Write(0, Data(5000, std::byte{1}))));
  engine_.calls = 0;
  engine_.before = [](const IoOp& op) -> int64_t { return op.offset == 0 ? 1024 : 0; };
  Data expected(5000, std::byte{1});
  expected.resize(8192);
  EXPECT_EQ(Read(*file, 0, 8192), expected);
  EXPECT_EQ(engine_.calls, 2);  // nothing is asked at the unaligned offset 5000
}

TEST_F(PosixFileTest, ErrorsNameTheFileAndThePlace) {
  const auto file = Make(0);
  engine_.before = [](const IoOp& op) -> int64_t { return op.offset >= 4096 ? -ENOSPC : 4096; };
  const Result<void> written = SyncWait(loop_, file->Write(0, Data(8192)));
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, Errc::kNoSpace);
  EXPECT_EQ(written.error().sys_errno, ENOSPC);
  EXPECT_THAT(written.error().message, HasSubstr("write /some/file at byte 4096"));
}

TEST_F(PosixFileTest, AFailedSyncIsRemembered) {
  const auto file = Make(0);
  ASSERT_TRUE(SyncWait(loop_, file->Sync()));
  engine_.before = [](const IoOp&) -> int64_t { return -EIO; };
  EXPECT_EQ(SyncWait(loop_, file->Sync()).error().code, Errc::kIo);
  engine_.before = nullptr;  // the kernel has forgotten
  engine_.calls = 0;
  const Result<void> later = SyncWait(loop_, file->Sync());
  ASSERT_FALSE(later.has_value());
  EXPECT_THAT(later.error().message, HasSubstr("earlier sync failed"));
  EXPECT_EQ(engine_.calls, 0);
}

TEST_F(PosixFileTest, ZeroingThatTheHostRefusesIsUnsupported) {
  const auto file = Make(0);
  engine_.before = [](const IoOp&) -> int64_t { return -EOPNOTSUPP; };
  for (const ZeroMode mode : {ZeroMode::kAllocate, ZeroMode::kDeallocate}) {
    EXPECT_EQ(SyncWait(loop_, file->WriteZeroes({0, 4096}, mode)).error().code, Errc::kUnsupported);
  }
  EXPECT_EQ(SyncWait(loop_, file->Allocate({0, 4096})).error().code, Errc::kUnsupported);
}

TEST_F(PosixFileTest, AFailedReadModifyWriteLeavesTheSizeExact) {
  AlignedFile file(loop_, Make(4096), 4096);
  ASSERT_TRUE(SyncWait(loop_, file.Write(0, Data(5000, std::byte{1}))));
  EXPECT_EQ(SyncWait(loop_, file.Size()).value(), 5000u);
  // The last block reaches the file padded, then the device fails.
  engine_.before = [](const IoOp& op) -> int64_t {
    return op.kind == IoOp::Kind::kWrite && op.offset >= (1 << 20) ? -EIO : 0;
  };
  EXPECT_FALSE(SyncWait(loop_, file.Write(4999, Data((1 << 20) + 100, std::byte{2}))));
  engine_.before = nullptr;
  EXPECT_EQ(Read(file, 4990, 9), Data(9, std::byte{1}));
  EXPECT_LE(SyncWait(loop_, file.Size()).value(), 4999u + (1 << 20) + 100);
}

// A reference like the one io_uring keeps of a request whose last part nobody has collected.
TEST_F(PosixFileTest, ItsLockEndsWithItThoughTheKernelStillRefersToTheFile) {
  UniqueFd fd(::memfd_create("posix_file_test", MFD_CLOEXEC));
  struct flock all{};
  all.l_type = F_WRLCK;
  all.l_whence = SEEK_SET;
  ASSERT_EQ(::fcntl(fd.get(), F_OFD_SETLK, &all), 0);
  const UniqueFd reference(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
  const UniqueFd another(::open(fmt::format("/proc/self/fd/{}", fd.get()).c_str(), O_RDWR));
  auto file = std::make_unique<PosixFile>(engine_, std::move(fd), "file", PosixFileTraits{});
  EXPECT_NE(::fcntl(another.get(), F_OFD_SETLK, &all), 0);
  file.reset();
  EXPECT_EQ(::fcntl(another.get(), F_OFD_SETLK, &all), 0);
}

TEST_F(PosixFileTest, AlignedRequestsAreNotCopied) {
  AlignedFile file(loop_, Make(4096), 4096);
  AlignedBuffer buffer(8192);
  FillZero(buffer.span());
  engine_.before = [&](const IoOp& op) -> int64_t {
    EXPECT_EQ(op.data, buffer.data());
    return 0;
  };
  ASSERT_TRUE(SyncWait(loop_, file.Write(4096, std::as_const(buffer).span())));
  ASSERT_TRUE(SyncWait(loop_, file.Read(4096, buffer.span())));
  EXPECT_EQ(engine_.calls, 2);
}

TEST_F(PosixFileTest, EverythingThatReachesTheFileIsAligned) {
  AlignedFile file(loop_, Make(512), 512);
  engine_.before = [](const IoOp& op) -> int64_t {
    const auto memory = reinterpret_cast<uintptr_t>(op.data);
    EXPECT_TRUE(IsAligned(op.offset | op.length | memory, 512));
    return 0;
  };
  AlignedBuffer buffer(3 << 20);
  FillZero(buffer.span());
  const uint64_t lengths[] = {1, 511, 512, 513, 4096, (1 << 20) - 3, 1 << 20, (2 << 20) + 77};
  for (const uint64_t length : lengths) {
    for (const uint64_t skew : {0U, 1U, 512U}) {
      for (const uint64_t offset : {0U, 3U, 512U}) {
        const Bytes part = buffer.span().subspan(skew, length);
        ASSERT_TRUE(SyncWait(loop_, file.Write(offset, part)));
        ASSERT_TRUE(SyncWait(loop_, file.Read(offset, part)));
      }
    }
  }
  EXPECT_EQ(SyncWait(loop_, file.Size()).value(), 512u + (2 << 20) + 77);
}

}  // namespace
}  // namespace mica
