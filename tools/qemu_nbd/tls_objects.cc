// SPDX-License-Identifier: Apache-2.0
#include "tools/qemu_nbd/tls_objects.h"

#include <fmt/core.h>

#include <filesystem>

#include "nbd/tls_credentials.h"
#include "tools/qemu_nbd/qemu_option.h"

namespace mica {

namespace {

Error Bad(std::string message) {
  return Error{Errc::kInvalidArgument, std::move(message)};
}

Result<QemuOption> FindObject(const QemuNbdArguments& arguments, const std::string& id) {
  for (const std::string& text : arguments.objects) {
    ASSIGN(QemuOption object, ParseQemuOption(text));
    const std::string* const name = object.Find("id");
    if (name == nullptr) return Bad(fmt::format("--object {}: Parameter 'id' is missing", text));
    if (*name == id) return object;
  }
  return Bad(fmt::format("No object with id '{}'", id));
}

Result<bool> ParseSwitch(const std::string& text) {
  for (const char* const yes : {"on", "yes", "true", "y"}) {
    if (text == yes) return true;
  }
  for (const char* const no : {"off", "no", "false", "n"}) {
    if (text == no) return false;
  }
  return Bad(fmt::format("expected 'on' or 'off', found '{}'", text));
}

std::string TextOr(const QemuOption& object, std::string_view key, std::string otherwise) {
  const std::string* const found = object.Find(key);
  return found == nullptr ? std::move(otherwise) : *found;
}

}  // namespace

Result<TlsObject> FindTlsObject(const QemuNbdArguments& arguments, TlsEndpoint endpoint) {
  const std::string& id = *arguments.tls_credentials;
  ASSIGN(const QemuOption found, FindObject(arguments, id));
  TlsObject object;
  object.pre_shared_key = found.first == "tls-creds-psk";
  if (!object.pre_shared_key && found.first != "tls-creds-x509") {
    return Bad(fmt::format("Object with id '{}' is not TLS credentials", id));
  }
  const std::string_view wanted = endpoint == TlsEndpoint::kServer ? "server" : "client";
  if (TextOr(found, "endpoint", "client") != wanted) {
    return Bad(fmt::format("Expecting TLS credentials with a {} endpoint", wanted));
  }
  object.directory = TextOr(found, "dir", "");
  if (object.directory.empty()) return Bad(fmt::format("object '{}' needs dir=", id));
  object.user = TextOr(found, "username", "qemu");
  ASSIGN(object.verify_peer, ParseSwitch(TextOr(found, "verify-peer", "on")));
  return object;
}

Result<QemuNbdTls> MakeServerTls(const QemuNbdArguments& arguments) {
  QemuNbdTls tls;
  if (!arguments.tls_credentials) return tls;
  ASSIGN(const TlsObject object, FindTlsObject(arguments, TlsEndpoint::kServer));
  tls.options.mode = nbd::TlsMode::kRequire;
  const std::filesystem::path directory = object.directory;
  if (object.pre_shared_key) {
    ASSIGN(tls.options.credentials, nbd::TlsCredentials::FromPskFile(directory / "keys.psk"));
  } else {
    const auto clients = object.verify_peer ? nbd::ClientCertificates::kRequired
                                            : nbd::ClientCertificates::kNotAsked;
    ASSIGN(tls.options.credentials, nbd::TlsCredentials::FromDirectory(directory, clients));
  }
  if (!arguments.tls_authorization) return tls;
  ASSIGN(const QemuOption rule, FindObject(arguments, *arguments.tls_authorization));
  const std::string* const identity = rule.Find("identity");
  if (rule.first != "authz-simple" || identity == nullptr) {
    return Bad(fmt::format("--tls-authz {}: expected authz-simple with identity=",
                           *arguments.tls_authorization));
  }
  tls.clients = {"dn:" + *identity, "psk:" + *identity};
  return tls;
}

}  // namespace mica
