// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "engine/base/bytes.h"

namespace mica::guest {

// UTF-16LE to UTF-8, up to the first zero. What is not valid becomes U+FFFD: it is for people to
// read.
std::string DecodeUtf16(ConstBytes raw);

}  // namespace mica::guest
