// SPDX-License-Identifier: Apache-2.0
// The command line of qemu-nbd, as far as it makes sense without QEMU's block layer. What does not
// is refused by name, so that nobody takes an option for done that was not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/base/result.h"

namespace mica {

enum class QemuNbdMode : uint8_t { kServe, kList, kHelp, kVersion };

struct QemuNbdArguments {
  QemuNbdMode mode = QemuNbdMode::kServe;
  std::string image;
  std::optional<std::string> format;
  std::optional<std::string> snapshot;
  std::optional<std::string> socket;
  std::optional<std::string> bind;
  std::optional<std::string> port;
  std::string export_name;
  std::string description;
  uint64_t offset = 0;
  uint32_t clients_max = 1;  // 0: any number
  bool persistent = false;
  bool read_only = false;
  bool verbose = false;
  bool allocation_depth = false;
  bool fork = false;
  std::vector<std::string> bitmaps;
  std::optional<std::string> pid_file;
  std::vector<std::string> objects;
  std::optional<std::string> tls_credentials;  // the id of an object
  std::optional<std::string> tls_authorization;
};

// kInvalidArgument with a text for people; kUnsupported for an option of qemu-nbd that this program
// does not have.
Result<QemuNbdArguments> ParseQemuNbdArguments(int argc, char** argv);

std::string QemuNbdHelp(const std::string& program);

}  // namespace mica
