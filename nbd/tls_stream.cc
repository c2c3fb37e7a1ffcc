// SPDX-License-Identifier: Apache-2.0
#include "nbd/tls_stream.h"

#include <fmt/format.h>
#include <gnutls/x509.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace mica::nbd {

namespace {

// The names of a verified certificate.
void AppendCertificateNames(gnutls_x509_crt_t certificate, std::vector<std::string>& names) {
  gnutls_datum_t dn{};
  if (::gnutls_x509_crt_get_dn3(certificate, &dn, 0) >= 0) {
    names.push_back("dn:" + std::string(TextOf(dn)));
    ::gnutls_free(dn.data);
  }
  std::array<char, 256> common_name;  // RFC 5280 allows 64 characters
  size_t length = common_name.size();
  // Exactly one: which of two should count?
  size_t second = 0;
  const bool several =
      ::gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 1, 0, nullptr,
                                      &second) != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE;
  if (!several && ::gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, 0,
                                                  common_name.data(), &length) >= 0) {
    names.push_back("cn:" + std::string(common_name.data(), length));
  }
}

}  // namespace

TlsStream::TlsStream(EventLoop& loop, std::unique_ptr<Stream> transport,
                     std::shared_ptr<const TlsCredentials> credentials)
    : loop_(&loop), transport_(std::move(transport)), credentials_(std::move(credentials)) {}

Result<std::unique_ptr<TlsStream>> TlsStream::Make(
    EventLoop& loop, std::unique_ptr<Stream> transport,
    std::shared_ptr<const TlsCredentials> credentials, TlsSide side) {
  std::unique_ptr<TlsStream> made(
      new TlsStream(loop, std::move(transport), std::move(credentials)));
  const unsigned kind = side == TlsSide::kServer ? GNUTLS_SERVER : GNUTLS_CLIENT;
  // No tickets: connections live long, and a resumed session would not prove itself again.
  const int code = ::gnutls_init(&made->session_, kind | GNUTLS_NONBLOCK | GNUTLS_NO_TICKETS);
  if (code < 0) return TlsError(code, "TLS");
  TRY(made->credentials_->ApplyTo(made->session_));
  ::gnutls_handshake_set_timeout(made->session_, GNUTLS_INDEFINITE_TIMEOUT);  // the caller has one
  ::gnutls_transport_set_ptr(made->session_, made.get());
  ::gnutls_transport_set_pull_function(made->session_, &TlsStream::Pull);
  ::gnutls_transport_set_vec_push_function(made->session_, &TlsStream::Push);
  return made;
}

TlsStream::~TlsStream() {
  if (session_ != nullptr) ::gnutls_deinit(session_);
}

ssize_t TlsStream::Pull(gnutls_transport_ptr_t self, void* data, size_t size) {
  TlsStream& stream = *static_cast<TlsStream*>(self);
  const size_t count = std::min(size, stream.input_.size() - stream.input_at_);
  if (count != 0) {
    std::memcpy(data, stream.input_.data() + stream.input_at_, count);
    stream.input_at_ += count;
    return static_cast<ssize_t>(count);
  }
  if (stream.input_ended_) return 0;
  ::gnutls_transport_set_errno(stream.session_, EAGAIN);
  return -1;
}

ssize_t TlsStream::Push(gnutls_transport_ptr_t self, const giovec_t* parts, int count) {
  std::vector<std::byte>& output = static_cast<TlsStream*>(self)->output_;
  const size_t before = output.size();
  for (int i = 0; i < count; ++i) {
    const auto* const bytes = static_cast<const std::byte*>(parts[i].iov_base);
    output.insert(output.end(), bytes, bytes + parts[i].iov_len);
  }
  return static_cast<ssize_t>(output.size() - before);
}

Async<void> TlsStream::FillInput() {
  input_.resize(kInputBytes);
  input_at_ = input_.size();  // nothing, while we wait
  const Result<size_t> count = co_await transport_->Receive(input_);
  input_at_ = 0;
  input_.resize(count ? *count : 0);
  if (!count) co_return count.error();
  input_ended_ = *count == 0;
  co_return Result<void>();
}

Async<void> TlsStream::FlushOutput() {
  if (output_.empty()) co_return Result<void>();
  sending_.clear();
  sending_.swap(output_);
  const ConstBytes part = sending_;
  co_return co_await transport_->Send(std::span(&part, 1));
}

bool TlsStream::TurnIsOver(size_t& bytes_since, size_t bytes) noexcept {
  bytes_since += bytes;
  if (bytes_since < kBytesPerTurn) return false;
  bytes_since = 0;
  return true;
}

Async<void> TlsStream::Handshake() {
  for (;;) {
    const int code = ::gnutls_handshake(session_);
    if (code < 0 && ::gnutls_error_is_fatal(code) != 0) {
      ::gnutls_alert_send_appropriate(session_, code);
      (void)co_await FlushOutput();  // the peer may be told, or gone
      co_return TlsError(code, "TLS handshake");
    }
    CO_TRY(co_await FlushOutput());
    if (code >= 0) co_return Result<void>();
    if (code == GNUTLS_E_AGAIN) CO_TRY(co_await FillInput());
  }
}

PeerIdentity TlsStream::identity() const {
  PeerIdentity identity{.encrypted = true, .names = {}};
  if (::gnutls_auth_get_type(session_) == GNUTLS_CRD_PSK) {
    gnutls_datum_t user{};
    if (::gnutls_psk_server_get_username2(session_, &user) >= 0) {
      identity.names.push_back("psk:" + std::string(TextOf(user)));
    }
    return identity;
  }
  unsigned count = 0;
  const gnutls_datum_t* const chain = ::gnutls_certificate_get_peers(session_, &count);
  if (chain == nullptr || count == 0) return identity;
  gnutls_x509_crt_t certificate = nullptr;
  if (::gnutls_x509_crt_init(&certificate) < 0) return identity;
  if (::gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) >= 0) {
    AppendCertificateNames(certificate, identity.names);
  }
  ::gnutls_x509_crt_deinit(certificate);
  return identity;
}

Async<size_t> TlsStream::Receive(Bytes buffer) {
  while (!stopped_) {
    size_t received = 0;
    ssize_t count = 0;
    // Whole records, as many as are here.
    while (received < buffer.size()) {
      count = ::gnutls_record_recv(session_, buffer.data() + received, buffer.size() - received);
      if (count <= 0) break;
      received += static_cast<size_t>(count);
    }
    if (received != 0) {
      if (TurnIsOver(received_since_turn_, received)) co_await loop_->Yield();
      co_return received;
    }
    // A peer that just closes the connection has left as well: requests have their own framing.
    if (count == 0 || count == GNUTLS_E_PREMATURE_TERMINATION) co_return size_t{0};
    if (count == GNUTLS_E_AGAIN) {
      CO_TRY(co_await FillInput());
    } else if (::gnutls_error_is_fatal(static_cast<int>(count)) != 0 ||
               count == GNUTLS_E_REHANDSHAKE) {
      co_return TlsError(static_cast<int>(count), "TLS");
    }
  }
  co_return size_t{0};
}

Async<void> TlsStream::SendRecord(ConstBytes data) {
  while (!data.empty()) {
    const ssize_t count = ::gnutls_record_send(session_, data.data(), data.size());
    if (count < 0) co_return TlsError(static_cast<int>(count), "TLS");
    data = data.subspan(static_cast<size_t>(count));
  }
  if (output_.size() >= kOutputBytesMax) CO_TRY(co_await FlushOutput());
  co_return Result<void>();
}

Async<void> TlsStream::Send(std::span<const ConstBytes> parts) {
  record_.clear();
  for (ConstBytes part : parts) {
    while (!part.empty()) {
      const bool whole = record_.empty() && part.size() >= kRecordBytes;
      const size_t count = std::min(part.size(), kRecordBytes - record_.size());
      const ConstBytes piece = part.first(count);
      part = part.subspan(count);
      if (!whole) record_.insert(record_.end(), piece.begin(), piece.end());
      if (whole || record_.size() == kRecordBytes) {
        const ConstBytes record = whole ? piece : ConstBytes(record_);
        CO_TRY(co_await SendRecord(record));
        record_.clear();
        if (TurnIsOver(sent_since_turn_, kRecordBytes)) co_await loop_->Yield();
      }
    }
  }
  const ConstBytes rest = record_;
  CO_TRY(co_await SendRecord(rest));
  co_return co_await FlushOutput();
}

void TlsStream::MoveTo(EventLoop& loop) noexcept {
  loop_ = &loop;
  transport_->MoveTo(loop);
}

void TlsStream::StopReceiving() noexcept {
  stopped_ = true;
  transport_->StopReceiving();
}

Async<void> TlsStream::Finish() {
  ::gnutls_bye(session_, GNUTLS_SHUT_WR);
  (void)co_await FlushOutput();
  co_return co_await transport_->Finish();
}

}  // namespace mica::nbd
