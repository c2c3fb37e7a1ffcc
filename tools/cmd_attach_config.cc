// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/cli/attach_config.h"
#include "tools/verbs.h"

namespace mica {
namespace {

constexpr VerbText kText{
    .name = "attach-config",
    .summary = "Print what a hypervisor has to be told to use an export",
    .synopsis = "--for TOOL [OPTION]... URI",
    .notes =
        "TOOL is qemu, libvirt, nbd-client or cloud-hypervisor. URI is what `mica serve` prints.\n"
        "The text goes into a command line (qemu, nbd-client, cloud-hypervisor) or a domain's\n"
        "<devices> (libvirt) as it is: discards reach the image, flushes are honoured, the host\n"
        "does not cache a second time, and a server that restarts is waited for."};

struct AttachOptions {
  std::string tool;
  std::string uri;
  AttachRequest request;
};

Result<ExitStatus> Attach(Context& context, const AttachOptions& options) {
  AttachRequest request = options.request;
  ASSIGN(request.uri, ParseNbdUri(options.uri));
  ASSIGN(const std::string text, AttachConfig(options.tool, request));
  if (context.output.json()) {
    context.output.Document({{"for", options.tool}, {"text", text}});
  } else {
    context.output.Text(text);
  }
  return ExitStatus::kDone;
}

}  // namespace

Verb AddAttachConfig(CLI::App& program) {
  const auto options = std::make_shared<AttachOptions>();
  CLI::App* command = AddSubcommand(program, kText);
  command->add_option("--for", options->tool, "The tool to configure")
      ->required()
      ->type_name("TOOL");
  command
      ->add_option("--device", options->request.device,
                   "Its name there: a node (qemu), a target (libvirt), a kernel device (others)")
      ->type_name("NAME");
  command
      ->add_option("--reconnect", options->request.reconnect_seconds,
                   "How long to wait for a server that is away")
      ->type_name("SECONDS")
      ->capture_default_str();
  command
      ->add_option("--tls-certificates", options->request.certificates,
                   "Folder with ca-cert.pem, client-cert.pem and client-key.pem, for nbds URIs")
      ->type_name("DIR");
  command->add_option("URI", options->uri, "The export")->required();
  return {command, [options](Context& context) { return Attach(context, *options); }};
}

}  // namespace mica
