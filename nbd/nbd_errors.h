// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "engine/base/error.h"
#include "nbd/wire.h"

namespace mica::nbd {

// The value a failed request gets on the wire ("Error values").
WireError ToWireError(Errc code) noexcept;

// A short text for the client. It never carries the error's own message, which may name host paths;
// that one goes to the log.
std::string_view WireErrorText(WireError error) noexcept;

}  // namespace mica::nbd
