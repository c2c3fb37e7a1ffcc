// SPDX-License-Identifier: Apache-2.0
#include "tools/rebase/posix_acl.h"

#include "engine/base/bytes.h"

namespace mica::rebase {
namespace {

constexpr uint32_t kVersion = 2;
constexpr size_t kHeaderSize = 4;
constexpr size_t kEntrySize = 8;
constexpr size_t kPermissionAt = 2;
constexpr size_t kIdAt = 4;

enum Tag : uint16_t {
  kUserOwner = 0x01,
  kUser = 0x02,
  kGroupOwner = 0x04,
  kGroup = 0x08,
  kMask = 0x10,
  kOther = 0x20,
};

bool IsAcl(std::string_view acl) {
  return acl.size() >= kHeaderSize && (acl.size() - kHeaderSize) % kEntrySize == 0 &&
         LoadLe<uint32_t>(AsBytes(acl), 0) == kVersion;
}

}  // namespace

std::string RenumberAcl(std::string_view acl, const IdMap& ids) {
  std::string out(acl);
  if (!IsAcl(acl)) return out;
  const Bytes bytes = std::as_writable_bytes(std::span(out));
  for (size_t at = kHeaderSize; at < out.size(); at += kEntrySize) {
    const auto tag = LoadLe<uint16_t>(bytes, at);
    const auto id = LoadLe<uint32_t>(bytes, at + kIdAt);
    if (tag == kUser) StoreLe<uint32_t>(bytes, at + kIdAt, ids.User(id));
    if (tag == kGroup) StoreLe<uint32_t>(bytes, at + kIdAt, ids.Group(id));
  }
  return out;
}

std::string FitAclToMode(std::string_view acl, uint32_t mode) {
  std::string out(acl);
  if (!IsAcl(acl)) return out;
  const Bytes bytes = std::as_writable_bytes(std::span(out));
  bool has_mask = false;
  for (size_t at = kHeaderSize; at < out.size(); at += kEntrySize) {
    has_mask = has_mask || LoadLe<uint16_t>(bytes, at) == kMask;
  }
  for (size_t at = kHeaderSize; at < out.size(); at += kEntrySize) {
    const auto tag = LoadLe<uint16_t>(bytes, at);
    auto set = [&](uint32_t permission) {
      StoreLe<uint16_t>(bytes, at + kPermissionAt, static_cast<uint16_t>(permission & 7));
    };
    if (tag == kUserOwner) set(mode >> 6);
    if (tag == kMask || (tag == kGroupOwner && !has_mask)) set(mode >> 3);
    if (tag == kOther) set(mode);
  }
  return out;
}

}  // namespace mica::rebase
