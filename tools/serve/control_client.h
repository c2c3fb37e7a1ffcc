// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/base/result.h"
#include "engine/base/unique_fd.h"

namespace mica {

// A blocking connection to the control socket of a running server.
Result<UniqueFd> ConnectToControl(const std::string& path);

// A conversation on one, request by request.
class ControlClient {
 public:
  static Result<ControlClient> Connect(const std::string& path);

  // Sends one request and waits for its answer. What the server refuses is an error of the kind
  // that it names.
  Result<nlohmann::json> Ask(const nlohmann::json& request);

 private:
  explicit ControlClient(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
};

}  // namespace mica
