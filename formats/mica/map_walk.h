// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>

#include "formats/mica/image.h"

namespace mica::native {

// The seal digest (formats/seal_digest.h) of everything in the map. The image must stand still.
Async<std::array<uint8_t, 16>> ComputeSealDigest(Image& image);

}  // namespace mica::native
