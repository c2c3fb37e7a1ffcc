// SPDX-License-Identifier: Apache-2.0
#include "engine/io/aio_engine.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace mica {

Result<std::unique_ptr<AioEngine>> AioEngine::Create(EpollLoop& loop, IoEngine& threads) {
  UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return ErrnoError(errno, "eventfd");
  std::unique_ptr<AioEngine> engine(new AioEngine(loop, threads, std::move(event)));
  const int result = io_setup(kDepth, &engine->context_);
  if (result < 0) {
    engine->context_ = nullptr;
    Error unusable = ErrnoError(-result, "libaio is not usable here (see fs.aio-max-nr)");
    unusable.code = Errc::kUnsupported;
    return unusable;
  }
  TRY(loop.Attach(engine->event_.get(), *engine));
  engine->attached_ = true;
  return engine;
}

AioEngine::~AioEngine() {
  MICA_CHECK(in_flight_ == 0 && queued_.empty());
  if (attached_) loop_.Detach(event_.get());
  if (context_ != nullptr) io_destroy(context_);
}

void AioEngine::Submit(IoOp& op) {
  if (op.kind != IoOp::Kind::kRead && op.kind != IoOp::Kind::kWrite) {
    threads_.Submit(op);
    return;
  }
  queued_.Push(op);
  ++queued_count_;
}

unsigned AioEngine::SubmitBatch(unsigned count, unsigned& failed_at_once) {
  std::array<IoOp*, kDepth> ops;
  std::array<iocb, kDepth> requests;
  std::array<iocb*, kDepth> pointers;
  for (unsigned i = 0; i < count; ++i) {
    IoOp& op = queued_.Pop();
    const auto offset = static_cast<long long>(op.offset);
    if (op.kind == IoOp::Kind::kRead) {
      io_prep_pread(&requests[i], op.fd, op.data, op.length, offset);
    } else {
      io_prep_pwrite(&requests[i], op.fd, op.data, op.length, offset);
    }
    io_set_eventfd(&requests[i], event_.get());
    requests[i].data = &op;
    ops[i] = &op;
    pointers[i] = &requests[i];
  }
  const int result = io_submit(context_, static_cast<long>(count), pointers.data());
  unsigned dealt_with = result > 0 ? static_cast<unsigned>(result) : 0;
  in_flight_ += dealt_with;
  const bool out_of_room = result == -EAGAIN || result == -EINTR || result == -ENOMEM;
  if (result < 0 && out_of_room && in_flight_ == 0) {
    // No completion will come to try again at.
    threads_.Submit(*ops[dealt_with++]);
  } else if (result < 0 && !out_of_room) {
    IoOp& refused = *ops[dealt_with++];  // an error is always the first operation's
    refused.result = result;
    loop_.Post(refused.waiter);
    ++failed_at_once;
  }
  for (unsigned i = count; i > dealt_with; --i) queued_.PushFront(*ops[i - 1]);
  return dealt_with;
}

bool AioEngine::BeforeWait() {
  unsigned failed_at_once = 0;
  while (queued_count_ > 0 && in_flight_ < kDepth) {
    const unsigned dealt_with =
        SubmitBatch(std::min(queued_count_, kDepth - in_flight_), failed_at_once);
    queued_count_ -= dealt_with;
    if (dealt_with == 0) break;  // tried again when something completes
  }
  return failed_at_once > 0;
}

void AioEngine::OnReadable() {
  uint64_t signals = 0;
  [[maybe_unused]] const ssize_t got = ::read(event_.get(), &signals, sizeof signals);
  std::array<io_event, kDepth> events;
  timespec no_wait{};
  const int count =
      io_getevents(context_, 0, static_cast<long>(events.size()), events.data(), &no_wait);
  for (int i = 0; i < count; ++i) {
    const io_event& event = events[static_cast<size_t>(i)];
    auto* const op = static_cast<IoOp*>(event.data);
    op->result = static_cast<int64_t>(event.res);  // libaio keeps it unsigned; errors are negative
    --in_flight_;
    loop_.Post(op->waiter);
  }
}

}  // namespace mica
