// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/attach_config.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace mica {

namespace {

using Transport = NbdUri::Transport;

Error NotThere(std::string_view tool, std::string_view what) {
  return Error{Errc::kUnsupported, fmt::format("{} {}", tool, what)};
}

Result<void> CheckTls(std::string_view tool, const AttachRequest& request) {
  if (!request.uri.tls || request.certificates) return {};
  return Error{
      Errc::kInvalidArgument,
      fmt::format("{}: the export wants TLS; expected --tls-certificates DIR, found none", tool)};
}

// For a POSIX shell.
std::string Quoted(std::string_view text) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/:=,+@";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(text);
  }
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

// In an option list of QEMU a comma is doubled.
std::string CommasDoubled(std::string_view text) {
  std::string doubled;
  for (const char c : text) doubled += c == ',' ? std::string(",,") : std::string(1, c);
  return doubled;
}

// For text and attributes in single quotes.
std::string XmlEscaped(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '\'':
        escaped += "&apos;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

Result<std::string> ForQemu(const AttachRequest& request) {
  TRY(CheckTls("qemu", request));
  const NbdUri& uri = request.uri;
  const std::string node = request.device.empty() ? "mica0" : request.device;
  nlohmann::ordered_json server;
  switch (uri.transport) {
    case Transport::kUnix:
      server = {{"type", "unix"}, {"path", uri.socket}};
      break;
    case Transport::kTcp:
      server = {{"type", "inet"}, {"host", uri.host}, {"port", uri.port}};
      break;
    case Transport::kVsock:
      server = {{"type", "vsock"}, {"cid", uri.host}, {"port", uri.port}};
      break;
  }
  nlohmann::ordered_json block = {{"driver", "nbd"},
                                  {"node-name", node},
                                  {"server", server},
                                  {"export", uri.export_name},
                                  {"reconnect-delay", request.reconnect_seconds},
                                  {"discard", "unmap"},
                                  {"detect-zeroes", "unmap"},
                                  {"cache", {{"direct", true}, {"no-flush", false}}}};
  std::string text;
  if (uri.tls) {
    text = fmt::format("-object {}\n",
                       Quoted(fmt::format("tls-creds-x509,id={}-tls,endpoint=client,dir={}", node,
                                          CommasDoubled(*request.certificates))));
    block["tls-creds"] = node + "-tls";
  }
  text += fmt::format("-blockdev {}\n", Quoted(block.dump()));
  text += fmt::format("-device virtio-blk-pci,drive={}\n", Quoted(node));
  return text;
}

Result<std::string> ForLibvirt(const AttachRequest& request) {
  const NbdUri& uri = request.uri;
  if (uri.transport == Transport::kVsock) return NotThere("libvirt", "has no NBD over vsock");
  const std::string host =
      uri.transport == Transport::kUnix
          ? fmt::format("<host transport='unix' socket='{}'/>", XmlEscaped(uri.socket))
          : fmt::format("<host name='{}' port='{}'/>", XmlEscaped(uri.host), XmlEscaped(uri.port));
  const std::string name =
      uri.export_name.empty() ? "" : fmt::format(" name='{}'", XmlEscaped(uri.export_name));
  // libvirt's own certificates (qemu.conf: default_tls_x509_cert_dir) are used with tls='yes'.
  return fmt::format(
      "<disk type='network' device='disk'>\n"
      "  <driver name='qemu' type='raw' cache='none' discard='unmap' detect_zeroes='unmap'/>\n"
      "  <source protocol='nbd'{}{}>\n"
      "    {}\n"
      "    <reconnect delay='{}'/>\n"
      "  </source>\n"
      "  <target dev='{}' bus='virtio'/>\n"
      "</disk>\n",
      name, uri.tls ? " tls='yes'" : "", host, request.reconnect_seconds,
      request.device.empty() ? "vda" : XmlEscaped(request.device));
}

// The command that makes a kernel device of the export.
Result<std::string> KernelClient(const AttachRequest& request) {
  const NbdUri& uri = request.uri;
  if (uri.transport == Transport::kVsock) {
    return NotThere("nbd-client", "has no vsock: the kernel takes TCP and unix sockets only");
  }
  TRY(CheckTls("nbd-client", request));
  const std::string device =
      "/dev/" + (request.device.empty() ? std::string("nbd0") : request.device);
  std::string command = "nbd-client ";
  if (uri.transport == Transport::kUnix) {
    command += fmt::format("-unix {} {}", Quoted(uri.socket), Quoted(device));
  } else {
    command += fmt::format("{} {} {}", Quoted(uri.host), Quoted(uri.port), Quoted(device));
  }
  command += fmt::format(" -N {} -C 4 -persist -timeout {}", Quoted(uri.export_name),
                         request.reconnect_seconds);
  if (uri.tls) {
    const std::string& folder = *request.certificates;
    command += fmt::format(" -F {} -K {} -A {}", Quoted(folder + "/client-cert.pem"),
                           Quoted(folder + "/client-key.pem"), Quoted(folder + "/ca-cert.pem"));
  }
  return command + "\n";
}

Result<std::string> ForCloudHypervisor(const AttachRequest& request) {
  // It has no NBD client of its own; the kernel's device is what it opens.
  ASSIGN(std::string text, KernelClient(request));
  text += fmt::format("cloud-hypervisor --disk path=/dev/{},direct=on …\n",
                      request.device.empty() ? "nbd0" : request.device);
  return text;
}

struct ToolRow {
  std::string_view name;
  Result<std::string> (*make)(const AttachRequest& request);
};
constexpr std::array kTools = {
    ToolRow{"qemu", &ForQemu},
    ToolRow{"libvirt", &ForLibvirt},
    ToolRow{"nbd-client", &KernelClient},
    ToolRow{"cloud-hypervisor", &ForCloudHypervisor},
};

}  // namespace

Result<std::string> AttachConfig(std::string_view tool, const AttachRequest& request) {
  const auto* const found = std::ranges::find(kTools, tool, &ToolRow::name);
  if (found == kTools.end()) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("--for: expected qemu, libvirt, nbd-client or cloud-hypervisor, "
                             "found '{}'",
                             tool)};
  }
  return found->make(request);
}

}  // namespace mica
