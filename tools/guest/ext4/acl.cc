// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/ext4/acl.h"

#include "engine/base/bytes.h"

namespace mica::guest {

namespace {

constexpr uint32_t kDiskVersion = 1;
constexpr uint32_t kKernelVersion = 2;
constexpr size_t kHeaderBytes = 4;
constexpr size_t kShortEntryBytes = 4;  // tag, permissions
constexpr size_t kEntryBytes = 8;       // tag, permissions, id
constexpr uint32_t kNoId = 0xffffffff;

enum Tag : uint16_t { kUserObj = 1, kUser = 2, kGroupObj = 4, kGroup = 8, kMask = 16, kOther = 32 };

bool IsTag(uint16_t tag) noexcept {
  return tag == kUserObj || tag == kUser || tag == kGroupObj || tag == kGroup || tag == kMask ||
         tag == kOther;
}
bool HasId(uint16_t tag) noexcept {
  return tag == kUser || tag == kGroup;
}

template <std::unsigned_integral T>
void Append(std::string& to, T value) {
  std::byte bytes[sizeof(T)];
  StoreLe(Bytes(bytes), 0, value);
  to.append(AsText(bytes));
}

}  // namespace

bool IsAclName(std::string_view name) noexcept {
  return name == "system.posix_acl_access" || name == "system.posix_acl_default";
}

Result<std::string> AclFromDisk(std::string_view disk) {
  const ConstBytes from = AsBytes(disk);
  if (from.size() < kHeaderBytes || LoadLe<uint32_t>(from, 0) != kDiskVersion) {
    return Error{Errc::kCorrupt, "access control list of an unknown version"};
  }
  std::string kernel;
  Append(kernel, kKernelVersion);
  for (size_t at = kHeaderBytes; at < from.size();) {
    if (from.size() - at < kShortEntryBytes)
      return Error{Errc::kCorrupt, "access control list is cut off"};
    const auto tag = LoadLe<uint16_t>(from, at);
    const size_t entry_bytes = HasId(tag) ? kEntryBytes : kShortEntryBytes;
    if (!IsTag(tag) || from.size() - at < entry_bytes) {
      return Error{Errc::kCorrupt, "access control list has a malformed entry"};
    }
    Append(kernel, tag);
    Append(kernel, LoadLe<uint16_t>(from, at + 2));
    Append(kernel, HasId(tag) ? LoadLe<uint32_t>(from, at + 4) : kNoId);
    at += entry_bytes;
  }
  return kernel;
}

Result<std::string> AclToDisk(std::string_view kernel) {
  const ConstBytes from = AsBytes(kernel);
  if (from.size() < kHeaderBytes || (from.size() - kHeaderBytes) % kEntryBytes != 0 ||
      LoadLe<uint32_t>(from, 0) != kKernelVersion) {
    return Error{Errc::kInvalidArgument, "access control list has a malformed header or length"};
  }
  std::string disk;
  Append(disk, kDiskVersion);
  for (size_t at = kHeaderBytes; at < from.size(); at += kEntryBytes) {
    const auto tag = LoadLe<uint16_t>(from, at);
    if (!IsTag(tag))
      return Error{Errc::kInvalidArgument, "access control list has a malformed entry"};
    Append(disk, tag);
    Append(disk, LoadLe<uint16_t>(from, at + 2));
    if (HasId(tag)) Append(disk, LoadLe<uint32_t>(from, at + 4));
  }
  return disk;
}

}  // namespace mica::guest
