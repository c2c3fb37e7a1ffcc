// SPDX-License-Identifier: Apache-2.0
// What a server gives up once it has its sockets: the rights of root, and everything that serving
// images does not need.
#pragma once

#include <optional>
#include <string>

#include "engine/base/result.h"

namespace mica {

struct UserIds {
  unsigned user = 0;
  unsigned group = 0;
};

// kInvalidArgument for a user there is none of.
Result<UserIds> FindUser(const std::string& name);

// Becomes that user, with its groups, for good. Only root can.
Result<void> BecomeUser(const std::string& name);

// For the process, before it has made threads: no new privileges, nothing can be executed
// (Landlock, where the kernel has it), and only the system calls that a server makes (seccomp);
// others fail with EPERM.
Result<void> EnterSandbox();

}  // namespace mica
