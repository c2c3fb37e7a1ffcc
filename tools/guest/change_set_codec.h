// SPDX-License-Identifier: Apache-2.0
// A change set as part of a stream of bytes (byte_stream.h), so that what a patch does to a master
// is worked out once and kept.
#pragma once

#include "engine/base/result.h"
#include "tools/guest/byte_stream.h"
#include "tools/guest/change_set.h"

namespace mica::guest {

void EncodeChangeSet(const ChangeSet& changes, ByteWriter& out);

// kCorrupt for what EncodeChangeSet cannot have written. What it returns is safe to use whatever
// the bytes were; that it is true is for the caller's checksum to say.
Result<ChangeSet> DecodeChangeSet(ByteReader& in);

}  // namespace mica::guest
