// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "formats/mica/image.h"

namespace mica::native {

// Walks the whole map and returns the slots below slots.hidden_end() that are in use or parked.
// Runs while the image is being written: what is written meanwhile lies above hidden_end(), and
// slots freed meanwhile are remembered by the allocator. kCorrupt when a part of the map is
// damaged; then nothing may be revealed, because blocks below that part would count as free.
Async<SlotBitmap> FindSlotsInUse(Image& image);

}  // namespace mica::native
