// SPDX-License-Identifier: Apache-2.0
// Stream: the ordered bytes of one connection. SocketStream is the plain one, MemoryStream its twin
// for tests; encryption is a Stream around another Stream.
#pragma once

#include <span>

#include "engine/async/event_loop.h"
#include "engine/base/bytes.h"
#include "engine/base/unique_fd.h"

namespace mica::nbd {

// One Receive and one Send may be pending at the same time. Loop thread only. Destroying a stream
// with either pending is a bug.
class Stream {
 public:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;

  // Completes with the number of bytes put at the front of `buffer` (not empty) as soon as there is
  // at least one; with 0 when the peer will send no more.
  virtual Async<size_t> Receive(Bytes buffer) = 0;

  // Completes when every part, in order, has been handed to the transport. The parts and what they
  // point to stay alive and unchanged until then.
  virtual Async<void> Send(std::span<const ConstBytes> parts) = 0;

  // A pending and every later Receive completes with 0; sending goes on.
  virtual void StopReceiving() noexcept = 0;

  // Tells the peer that everything has been sent, in a way that does not destroy what it has not
  // read yet. Nothing may be pending.
  virtual Async<void> Finish() = 0;

  // A pending Receive completes with kCancelled, having taken nothing; no later one does. False
  // when this stream cannot: its connection cannot be given to another process.
  virtual bool InterruptReceive() noexcept { return false; }

  // The connection itself, for another process. Nothing may be pending or come after. Empty when
  // the stream is more than its socket.
  virtual UniqueFd TakeSocket() noexcept { return {}; }

  // From now on the stream belongs to `loop` and its thread. Nothing may be pending.
  virtual void MoveTo(EventLoop& loop) noexcept = 0;

  // Gives the connection up at once: pending and later calls complete with an error or with 0.
  virtual void Abort() noexcept = 0;
};

}  // namespace mica::nbd
