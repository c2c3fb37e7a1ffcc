// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "engine/async/event_loop.h"
#include "engine/io/host.h"

namespace mica {

enum class IoEngine : uint8_t { kAuto, kUring, kAio, kPread };

// The event loop and the host that a verb runs on. Members are destroyed last first.
struct Runtime {
  std::unique_ptr<EventLoop> loop;
  std::unique_ptr<Host> host;
};

// kAuto takes the best engine the kernel allows; a named engine that it does not is kUnsupported.
Result<Runtime> MakeRuntime(IoEngine engine);

}  // namespace mica
