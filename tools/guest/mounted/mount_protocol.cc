// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/mount_protocol.h"

#include "tools/guest/object_codec.h"

namespace mica::guest {

void PutError(const Error& error, ByteWriter& out) {
  out.Put(static_cast<uint8_t>(error.code));
  out.Put(static_cast<uint32_t>(error.sys_errno));
  out.PutText(error.message);
}

Error TakeError(ByteReader& in) {
  const auto code = in.Take<uint8_t>();
  const auto host_errno = static_cast<int>(in.Take<uint32_t>());
  const bool known = code <= static_cast<uint8_t>(Errc::kCancelled);
  return {known ? static_cast<Errc>(code) : Errc::kIo, host_errno, in.TakeText()};
}

void PutNewObject(const NewObject& object, ByteWriter& out) {
  out.Put(static_cast<uint8_t>(object.kind));
  PutAttributes(object.attributes, out);
  out.PutText(object.symlink_target);
  out.Put(object.device_major);
  out.Put(object.device_minor);
}

Result<NewObject> TakeNewObject(ByteReader& in) {
  NewObject object;
  const auto kind = in.Take<uint8_t>();
  if (kind > static_cast<uint8_t>(ObjectKind::kSocket)) {
    return Error{Errc::kInvalidArgument, "an object of no known kind"};
  }
  object.kind = static_cast<ObjectKind>(kind);
  object.attributes = TakeAttributes(in);
  object.symlink_target = in.TakeText();
  object.device_major = in.Take<uint32_t>();
  object.device_minor = in.Take<uint32_t>();
  return object;
}

}  // namespace mica::guest
