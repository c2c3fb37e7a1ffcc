// SPDX-License-Identifier: Apache-2.0
#include "tools/qemu_nbd/list_exports.h"

#include <fmt/core.h>
#include <libnbd.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "nbd/wire.h"
#include "tools/qemu_nbd/tls_objects.h"

namespace mica {

namespace {

struct CloseHandle {
  void operator()(nbd_handle* handle) const noexcept { ::nbd_close(handle); }
};
using Handle = std::unique_ptr<nbd_handle, CloseHandle>;

struct ListedExport {
  std::string name;
  std::string description;
};

Error Failed(std::string_view what) {
  const char* const reason = ::nbd_get_error();
  return Error{Errc::kIo, fmt::format("{}: {}", what, reason == nullptr ? "failed" : reason)};
}

Result<void> UseTls(nbd_handle* handle, const QemuNbdArguments& arguments) {
  if (!arguments.tls_credentials) return {};
  ASSIGN(const TlsObject object, FindTlsObject(arguments, TlsEndpoint::kClient));
  const std::string keys = object.directory + "/keys.psk";
  bool ok = ::nbd_set_tls(handle, LIBNBD_TLS_REQUIRE) == 0;
  if (object.pre_shared_key) {
    ok = ok && ::nbd_set_tls_psk_file(handle, keys.c_str()) == 0 &&
         ::nbd_set_tls_username(handle, object.user.c_str()) == 0;
  } else {
    ok = ok && ::nbd_set_tls_certificates(handle, object.directory.c_str()) == 0;
  }
  if (!ok) return Failed("TLS");
  return {};
}

Result<void> Connect(nbd_handle* handle, const QemuNbdArguments& arguments) {
  if (::nbd_set_opt_mode(handle, true) != 0) return Failed("list");
  TRY(UseTls(handle, arguments));
  const std::string host = arguments.bind.value_or("localhost");
  const std::string port = arguments.port.value_or("10809");
  const int connected = arguments.socket ? ::nbd_connect_unix(handle, arguments.socket->c_str())
                                         : ::nbd_connect_tcp(handle, host.c_str(), port.c_str());
  if (connected != 0) return Failed("Failed to connect");
  return {};
}

// libnbd's callbacks are C.
int TakeExport(void* exports, const char* name, const char* description) {
  static_cast<std::vector<ListedExport>*>(exports)->push_back({name, description});
  return 0;
}
int TakeContext(void* contexts, const char* name) {
  static_cast<std::vector<std::string>*>(contexts)->emplace_back(name);
  return 0;
}

struct FlagRow {
  uint16_t flag;
  const char* name;
  int (*asked)(nbd_handle*);
};
constexpr std::array kFlags = {
    FlagRow{nbd::kFlagReadOnly, "readonly", &::nbd_is_read_only},
    FlagRow{nbd::kFlagSendFlush, "flush", &::nbd_can_flush},
    FlagRow{nbd::kFlagSendFua, "fua", &::nbd_can_fua},
    FlagRow{nbd::kFlagRotational, "rotational", &::nbd_is_rotational},
    FlagRow{nbd::kFlagSendTrim, "trim", &::nbd_can_trim},
    FlagRow{nbd::kFlagSendWriteZeroes, "zeroes", &::nbd_can_zero},
    FlagRow{nbd::kFlagSendDf, "df", &::nbd_can_df},
    FlagRow{nbd::kFlagCanMultiConn, "multi", &::nbd_can_multi_conn},
    FlagRow{nbd::kFlagSendCache, "cache", &::nbd_can_cache},
    FlagRow{nbd::kFlagSendFastZero, "fast-zero", &::nbd_can_fast_zero},
};

void PrintFlags(nbd_handle* handle) {
  unsigned flags = nbd::kFlagHasFlags;
  std::string names;
  for (const FlagRow& row : kFlags) {
    if (row.asked(handle) != 1) continue;
    flags |= row.flag;
    names += fmt::format(" {}", row.name);
  }
  fmt::print("  flags: {:#x} ({} )\n", flags, names);
}

void PrintBlockSizes(nbd_handle* handle) {
  const auto size = [handle](int which) { return ::nbd_get_block_size(handle, which); };
  if (size(LIBNBD_SIZE_MINIMUM) <= 0) return;
  fmt::print("  min block: {}\n  opt block: {}\n  max block: {}\n", size(LIBNBD_SIZE_MINIMUM),
             size(LIBNBD_SIZE_PREFERRED), size(LIBNBD_SIZE_MAXIMUM));
}

Result<void> PrintExport(nbd_handle* handle, const ListedExport& listed) {
  fmt::print(" export: '{}'\n", listed.name);
  if (!listed.description.empty()) fmt::print("  description: {}\n", listed.description);
  if (::nbd_set_export_name(handle, listed.name.c_str()) != 0) return Failed(listed.name);
  std::vector<std::string> contexts;
  const nbd_context_callback take{
      .callback = &TakeContext, .user_data = &contexts, .free = nullptr};
  if (::nbd_opt_list_meta_context(handle, take) < 0) contexts.clear();
  if (::nbd_opt_info(handle) != 0) return {};  // it may have gone, or not be for us
  fmt::print("  size:  {}\n", ::nbd_get_size(handle));
  PrintFlags(handle);
  PrintBlockSizes(handle);
  if (!contexts.empty()) fmt::print("  available meta contexts: {}\n", contexts.size());
  for (const std::string& context : contexts) fmt::print("   {}\n", context);
  return {};
}

}  // namespace

Result<void> ListExports(const QemuNbdArguments& arguments) {
  const Handle handle(::nbd_create());
  if (!handle) return Failed("list");
  TRY(Connect(handle.get(), arguments));
  std::vector<ListedExport> exports;
  const nbd_list_callback take{.callback = &TakeExport, .user_data = &exports, .free = nullptr};
  if (::nbd_opt_list(handle.get(), take) < 0) return Failed("Failed to list exports");
  fmt::print("exports available: {}\n", exports.size());
  for (const ListedExport& listed : exports) TRY(PrintExport(handle.get(), listed));
  (void)::nbd_opt_abort(handle.get());
  return {};
}

}  // namespace mica
