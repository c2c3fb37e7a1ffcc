// SPDX-License-Identifier: Apache-2.0
// Comparing two versions of one inode without its noise: what changes although the object does not.
#pragma once

#include "tools/guest/ext4/inode.h"

namespace mica::guest {

// Whether two versions of one inode (their bytes in the table) differ in anything that can matter:
// access and change times, checksum and version counter are left out.
bool DiffersInSubstance(ConstBytes before, ConstBytes after);

// Whether two versions of one xattr block differ in more than reference count and checksum.
bool XattrBlockDiffers(ConstBytes before, ConstBytes after);

}  // namespace mica::guest
