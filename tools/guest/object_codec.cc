// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/object_codec.h"

#include <limits>

namespace mica::guest {
namespace {

// The smallest encodings, which bound how many of them some bytes can hold.
constexpr size_t kXattrBytesMin = 8;
constexpr size_t kRangeBytes = 16;

void PutTime(const Timestamp& time, ByteWriter& out) {
  out.Put(static_cast<uint64_t>(time.seconds));
  out.Put(time.nanoseconds);
}

Timestamp TakeTime(ByteReader& in) {
  const auto seconds = static_cast<int64_t>(in.Take<uint64_t>());
  return {seconds, in.Take<uint32_t>()};
}

}  // namespace

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

void PutRanges(const std::vector<ByteRange>& ranges, ByteWriter& out) {
  out.Put(uint64_t{ranges.size()});
  for (const ByteRange& range : ranges) {
    out.Put(range.offset);
    out.Put(range.length);
  }
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

}  // namespace mica::guest
