// SPDX-License-Identifier: Apache-2.0
#include "engine/io/uring_loop.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>

#include "engine/async/monotonic_clock.h"

namespace mica {

namespace {

constexpr unsigned kSubmissionEntries = 256;
constexpr unsigned kCompletionEntries = 4 * kSubmissionEntries;
constexpr size_t kReapBatch = 64;

// The newest set of flags that the kernel takes wins. TASKRUN_FLAG tells us when completions wait
// for us to enter the kernel; SUBMIT_ALL goes on behind an operation that is refused.
constexpr std::array<unsigned, 3> kFlagsInOrderOfPreference = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
        IORING_SETUP_SUBMIT_ALL,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL,
    0,
};

constexpr std::array kNeededOpcodes = {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC,
                                       IORING_OP_FALLOCATE, IORING_OP_POLL_ADD};

void Prepare(io_uring_sqe* sqe, IoOp& op) noexcept {
  const auto length = static_cast<unsigned>(op.length);  // transfers are at most 1 GiB
  switch (op.kind) {
    case IoOp::Kind::kRead:
      io_uring_prep_read(sqe, op.fd, op.data, length, op.offset);
      break;
    case IoOp::Kind::kWrite:
      io_uring_prep_write(sqe, op.fd, op.data, length, op.offset);
      break;
    case IoOp::Kind::kDataSync:
      io_uring_prep_fsync(sqe, op.fd, IORING_FSYNC_DATASYNC);
      break;
    case IoOp::Kind::kFallocate:
      io_uring_prep_fallocate(sqe, op.fd, op.flags, static_cast<off_t>(op.offset),
                              static_cast<off_t>(op.length));
      break;
    case IoOp::Kind::kPoll:
      io_uring_prep_poll_add(sqe, op.fd, static_cast<unsigned>(op.flags));
      break;
  }
  io_uring_sqe_set_data(sqe, &op);
}

Error Unusable(int error, std::string_view what) {
  Error unusable = ErrnoError(error, fmt::format("io_uring is not usable here: {}", what));
  unusable.code = Errc::kUnsupported;
  return unusable;
}

}  // namespace

Result<std::unique_ptr<UringLoop>> UringLoop::Create() {
  // Blocking: a read through the ring of a descriptor that does not wait fails instead of waiting.
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  if (!wake) return ErrnoError(errno, "eventfd");
  std::unique_ptr<UringLoop> loop(new UringLoop(std::move(wake)));
  TRY(loop->Init());
  return loop;
}

Result<void> UringLoop::Init() {
  int result = -EINVAL;
  for (const unsigned flags : kFlagsInOrderOfPreference) {
    io_uring_params params{};
    params.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    params.cq_entries = kCompletionEntries;
    result = io_uring_queue_init_params(kSubmissionEntries, &ring_, &params);
    if (result != -EINVAL) break;
  }
  if (result < 0) return Unusable(-result, "io_uring_setup");
  ring_exists_ = true;
  TRY(CheckFeatures());
  io_uring_register_ring_fd(&ring_);  // saves a descriptor look-up per call; may fail
  ArmWake();
  return {};
}

Result<void> UringLoop::CheckFeatures() {
  constexpr unsigned kNeeded = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP;
  if ((ring_.features & kNeeded) != kNeeded) return Unusable(ENOSYS, "the kernel is too old");
  const std::unique_ptr<io_uring_probe, decltype(&io_uring_free_probe)> probe(
      io_uring_get_probe_ring(&ring_), &io_uring_free_probe);
  if (probe == nullptr) return Unusable(ENOSYS, "operations cannot be probed");
  for (const int opcode : kNeededOpcodes) {
    if (io_uring_opcode_supported(probe.get(), opcode) == 0) {
      return Unusable(ENOSYS, fmt::format("operation {} is missing", opcode));
    }
  }
  return {};
}

UringLoop::~UringLoop() {
  if (!ring_exists_) return;
  // The read of the eventfd targets this object: it has to end first.
  stopping_ = true;
  if (wake_is_armed_) Wake();
  while (wake_is_armed_) Poll(true, Time::max());
  io_uring_queue_exit(&ring_);
}

EventLoop::Time UringLoop::Now() const noexcept {
  return MonotonicNow();
}

Async<void> UringLoop::WaitReady(int fd, Readiness readiness) {
  IoOp op = IoOp::PollFor(fd, readiness == Readiness::kReadable ? POLLIN | POLLRDHUP : POLLOUT);
  IoWait wait(*this, op);
  const int64_t result = co_await wait;
  if (result < 0) co_return ErrnoError(static_cast<int>(-result), "wait for a descriptor");
  co_return Result<void>();
}

void UringLoop::ArmWake() noexcept {
  wake_op_ = IoOp::Read(wake_.get(), 0, std::as_writable_bytes(std::span(&wake_value_, 1)));
  wake_is_armed_ = true;
  Submit(wake_op_);
}

void UringLoop::Wake() noexcept {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = ::write(wake_.get(), &one, sizeof one);
}

void UringLoop::FillSubmissionQueue() noexcept {
  while (!queued_.empty()) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (sqe == nullptr) {
      io_uring_submit(&ring_);
      sqe = io_uring_get_sqe(&ring_);
    }
    if (sqe == nullptr) return;  // the kernel takes no more until completions are reaped
    Prepare(sqe, queued_.Pop());
  }
}

bool UringLoop::KernelHasWork() const noexcept {
  if (io_uring_sq_ready(&ring_) > 0) return true;
  const unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);
  return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

void UringLoop::Enter(bool may_wait, Time deadline) noexcept {
  // Errors of the call itself (EINTR, EBUSY, ETIME) only mean that this turn got nothing; except:
  constexpr int kWrongThread = -EEXIST;
  if (!may_wait) {
    if (KernelHasWork()) MICA_CHECK(io_uring_submit_and_get_events(&ring_) != kWrongThread);
    return;
  }
  const timespec left = deadline == Time::max() ? timespec{} : TimeoutUntil(deadline);
  __kernel_timespec timeout = {.tv_sec = left.tv_sec, .tv_nsec = left.tv_nsec};
  io_uring_cqe* first = nullptr;
  const int result = io_uring_submit_and_wait_timeout(
      &ring_, &first, 1, deadline == Time::max() ? nullptr : &timeout, nullptr);
  MICA_CHECK(result != kWrongThread);
}

void UringLoop::Reap() {
  std::array<io_uring_cqe*, kReapBatch> batch;
  unsigned count = 0;
  do {
    count = io_uring_peek_batch_cqe(&ring_, batch.data(), batch.size());
    for (unsigned i = 0; i < count; ++i) {
      auto* const op = static_cast<IoOp*>(io_uring_cqe_get_data(batch[i]));
      op->result = batch[i]->res;
      if (op != &wake_op_) {
        Post(op->waiter);
        continue;
      }
      wake_is_armed_ = false;
      if (!stopping_) ArmWake();
    }
    io_uring_cq_advance(&ring_, count);
  } while (count == batch.size());
}

void UringLoop::Poll(bool may_wait, Time deadline) {
  FillSubmissionQueue();
  Enter(may_wait && queued_.empty(), deadline);
  Reap();
}

}  // namespace mica
