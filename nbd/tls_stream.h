// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gnutls/gnutls.h>

#include <memory>
#include <vector>

#include "engine/async/event_loop.h"
#include "nbd/peer_identity.h"
#include "nbd/stream.h"
#include "nbd/tls_credentials.h"

namespace mica::nbd {

enum class TlsSide : uint8_t { kServer, kClient };

// An encrypted Stream around another one. GnuTLS works on buffers in memory here and never touches
// the socket. Encrypting happens on the loop, at most kBytesPerTurn at a time: then other
// connections get their turn, so that one client's bulk never stalls another client's request.
class TlsStream final : public Stream {
 public:
  // `transport` is at the point where the first TLS byte is expected. The credentials live as long
  // as the stream.
  static Result<std::unique_ptr<TlsStream>> Make(EventLoop& loop, std::unique_ptr<Stream> transport,
                                                 std::shared_ptr<const TlsCredentials> credentials,
                                                 TlsSide side = TlsSide::kServer);
  ~TlsStream() override;

  // Before anything else is sent or received. kInvalidArgument when the peer cannot prove itself or
  // does not speak TLS; other errors are the transport's.
  Async<void> Handshake();
  // Whom the handshake has found at the other end.
  [[nodiscard]] PeerIdentity identity() const;

  Async<size_t> Receive(Bytes buffer) override;
  Async<void> Send(std::span<const ConstBytes> parts) override;
  void StopReceiving() noexcept override;
  Async<void> Finish() override;
  void MoveTo(EventLoop& loop) noexcept override;
  void Abort() noexcept override { transport_->Abort(); }

 private:
  static constexpr size_t kBytesPerTurn = 256u << 10;
  static constexpr size_t kInputBytes = 64u << 10;
  static constexpr size_t kRecordBytes = 16u << 10;  // the largest TLS has
  static constexpr size_t kOutputBytesMax = 128u << 10;

  TlsStream(EventLoop& loop, std::unique_ptr<Stream> transport,
            std::shared_ptr<const TlsCredentials> credentials);
  static ssize_t Pull(gnutls_transport_ptr_t self, void* data, size_t size);
  static ssize_t Push(gnutls_transport_ptr_t self, const giovec_t* parts, int count);

  // Takes more from the transport; at its end Pull tells GnuTLS.
  Async<void> FillInput();
  Async<void> FlushOutput();
  Async<void> SendRecord(ConstBytes data);
  // Whether enough was encrypted or decrypted for others to go first.
  static bool TurnIsOver(size_t& bytes_since, size_t bytes) noexcept;

  EventLoop* loop_;
  std::unique_ptr<Stream> transport_;
  std::shared_ptr<const TlsCredentials> credentials_;
  gnutls_session_t session_ = nullptr;
  std::vector<std::byte> input_;  // from the transport, not yet taken by GnuTLS: from input_at_ on
  size_t input_at_ = 0;
  bool input_ended_ = false;
  bool stopped_ = false;
  std::vector<std::byte> output_;   // encrypted, to be sent
  std::vector<std::byte> sending_;  // being sent: must not move
  std::vector<std::byte> record_;   // small parts, until they fill a record
  size_t received_since_turn_ = 0;
  size_t sent_since_turn_ = 0;
};

}  // namespace mica::nbd
