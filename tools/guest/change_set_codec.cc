// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/change_set_codec.h"

#include "tools/guest/object_codec.h"

namespace mica::guest {
namespace {

// The smallest encodings, which bound how many of them some bytes can hold.
constexpr size_t kNameBytesMin = 20;
constexpr size_t kChangeBytesMin = 27;

enum ChangeFlag : uint8_t {
  kHasBefore = 1,
  kHasAfter = 2,
  kContentChanged = 4,
  kAttributesChanged = 8,
};

void PutNames(const std::vector<Name>& names, ByteWriter& out) {
  out.Put(uint64_t{names.size()});
  for (const Name& name : names) {
    out.Put(name.parent);
    out.PutText(name.leaf);
    out.PutText(name.path);
    out.Put(name.parent_generation);
  }
}

std::vector<Name> TakeNames(ByteReader& in) {
  std::vector<Name> names(in.TakeCount(kNameBytesMin));
  for (Name& name : names) {
    name.parent = in.Take<uint64_t>();
    name.leaf = in.TakeText();
    name.path = in.TakeText();
    name.parent_generation = in.Take<uint32_t>();
  }
  return names;
}

std::optional<ChangedObject> TakeChange(ByteReader& in) {
  ChangedObject change;
  const auto flags = in.Take<uint8_t>();
  if ((flags & (kHasBefore | kHasAfter)) == 0) return std::nullopt;
  if ((flags & kHasBefore) != 0 && !(change.before = TakeObject(in))) return std::nullopt;
  if ((flags & kHasAfter) != 0 && !(change.after = TakeObject(in))) return std::nullopt;
  change.names_before = TakeNames(in);
  change.names_after = TakeNames(in);
  change.content_changed = (flags & kContentChanged) != 0;
  change.attributes_changed = (flags & kAttributesChanged) != 0;
  std::optional<std::vector<ByteRange>> ranges = TakeRanges(in);
  if (!ranges) return std::nullopt;
  change.content_ranges = std::move(*ranges);
  return change;
}

}  // namespace

void EncodeChangeSet(const ChangeSet& changes, ByteWriter& out) {
  out.Put(uint64_t{changes.objects.size()});
  for (const ChangedObject& change : changes.objects) {
    out.Put(static_cast<uint8_t>((change.before ? kHasBefore : 0) | (change.after ? kHasAfter : 0) |
                                 (change.content_changed ? kContentChanged : 0) |
                                 (change.attributes_changed ? kAttributesChanged : 0)));
    if (change.before) PutObject(*change.before, out);
    if (change.after) PutObject(*change.after, out);
    PutNames(change.names_before, out);
    PutNames(change.names_after, out);
    PutRanges(change.content_ranges, out);
  }
}

Result<ChangeSet> DecodeChangeSet(ByteReader& in) {
  ChangeSet changes;
  const size_t count = in.TakeCount(kChangeBytesMin);
  for (size_t i = 0; i < count && in.ok(); ++i) {
    std::optional<ChangedObject> change = TakeChange(in);
    if (!change) break;
    changes.objects.push_back(std::move(*change));
  }
  if (in.ok() && changes.objects.size() == count) return changes;
  return Error{Errc::kCorrupt, "stored change set: cut short or not one"};
}

}  // namespace mica::guest
