// SPDX-License-Identifier: Apache-2.0
// Objects and what they consist of as bytes, for files of ours and for other processes. Empty, or
// what makes ByteReader::ok() false: what is no such thing.
#pragma once

#include <optional>
#include <vector>

#include "engine/base/range.h"
#include "tools/guest/byte_stream.h"
#include "tools/guest/object.h"

namespace mica::guest {

void PutAttributes(const Attributes& attributes, ByteWriter& out);
Attributes TakeAttributes(ByteReader& in);

void PutObject(const Object& object, ByteWriter& out);
std::optional<Object> TakeObject(ByteReader& in);

void PutRanges(const std::vector<ByteRange>& ranges, ByteWriter& out);
std::optional<std::vector<ByteRange>> TakeRanges(ByteReader& in);

}  // namespace mica::guest
