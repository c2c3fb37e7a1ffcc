// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/change_set_codec.h"

#include <limits>

namespace mica::guest {
namespace {

// The smallest encodings, which bound how many of them some bytes can hold.
constexpr size_t kNameBytesMin = 20;
constexpr size_t kXattrBytesMin = 8;
constexpr size_t kRangeBytes = 16;
constexpr size_t kChangeBytesMin = 27;

enum ChangeFlag : uint8_t {
  kHasBefore = 1,
  kHasAfter = 2,
  kContentChanged = 4,
  kAttributesChanged = 8,
};

void PutTime(const Timestamp& time, ByteWriter& out) {
  out.Put(static_cast<uint64_t>(time.seconds));
  out.Put(time.nanoseconds);
}

Timestamp TakeTime(ByteReader& in) {
  const auto seconds = static_cast<int64_t>(in.Take<uint64_t>());
  return {seconds, in.Take<uint32_t>()};
}

void PutAttributes(const Attributes& attributes, ByteWriter& out) {
  out.Put(attributes.mode);
  out.Put(attributes.uid);
  out.Put(attributes.gid);
  PutTime(attributes.modified, out);
  out.Put(attributes.flags);
  out.Put(attributes.project_id);
  out.Put(uint64_t{attributes.xattrs.size()});
  for (const auto& [name, value] : attributes.xattrs) {
    out.PutText(name);
    out.PutText(value);
  }
}

Attributes TakeAttributes(ByteReader& in) {
  Attributes attributes;
  attributes.mode = in.Take<uint32_t>();
  attributes.uid = in.Take<uint32_t>();
  attributes.gid = in.Take<uint32_t>();
  attributes.modified = TakeTime(in);
  attributes.flags = in.Take<uint32_t>();
  attributes.project_id = in.Take<uint32_t>();
  for (size_t left = in.TakeCount(kXattrBytesMin); left > 0; --left) {
    std::string name = in.TakeText();
    attributes.xattrs[std::move(name)] = in.TakeText();
  }
  return attributes;
}

void PutObject(const Object& object, ByteWriter& out) {
  out.Put(object.id.inode);
  out.Put(object.id.generation);
  PutTime(object.id.created, out);
  out.Put(static_cast<uint8_t>(object.kind));
  PutAttributes(object.attributes, out);
  out.Put(object.size);
  out.Put(object.link_count);
  out.PutText(object.symlink_target);
  out.Put(object.device_major);
  out.Put(object.device_minor);
}

std::optional<Object> TakeObject(ByteReader& in) {
  Object object;
  object.id.inode = in.Take<uint64_t>();
  object.id.generation = in.Take<uint32_t>();
  object.id.created = TakeTime(in);
  const auto kind = in.Take<uint8_t>();
  if (kind > static_cast<uint8_t>(ObjectKind::kSocket)) return std::nullopt;
  object.kind = static_cast<ObjectKind>(kind);
  object.attributes = TakeAttributes(in);
  object.size = in.Take<uint64_t>();
  object.link_count = in.Take<uint32_t>();
  object.symlink_target = in.TakeText();
  object.device_major = in.Take<uint32_t>();
  object.device_minor = in.Take<uint32_t>();
  return object;
}

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

std::optional<std::vector<ByteRange>> TakeRanges(ByteReader& in) {
  std::vector<ByteRange> ranges(in.TakeCount(kRangeBytes));
  for (ByteRange& range : ranges) {
    range.offset = in.Take<uint64_t>();
    range.length = in.Take<uint64_t>();
    if (range.length > std::numeric_limits<uint64_t>::max() - range.offset) return std::nullopt;
  }
  return ranges;
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
    out.Put(uint64_t{change.content_ranges.size()});
    for (const ByteRange& range : change.content_ranges) {
      out.Put(range.offset);
      out.Put(range.length);
    }
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
