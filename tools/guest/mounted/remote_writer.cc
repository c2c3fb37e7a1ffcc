// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "tools/guest/mounted/mounter.h"
#include "tools/guest/object_codec.h"

namespace mica::guest {

namespace {

class RemoteContent final : public ContentWriter {
 public:
  RemoteContent(Mounter& mounter, uint32_t session, uint64_t inode)
      : mounter_(mounter), session_(session), inode_(inode) {}

  Result<void> Write(uint64_t offset, ConstBytes data) override {
    while (!data.empty()) {
      const ConstBytes piece = data.first(std::min(data.size(), kMountPieceBytes));
      TRY(mounter_.Call(Request(MountOperation::kWrite).Add(offset).Add(AsText(piece))));
      offset += piece.size();
      data = data.subspan(piece.size());
    }
    return {};
  }
  Result<void> Resize(uint64_t size) override {
    TRY(mounter_.Call(Request(MountOperation::kResize).Add(size)));
    return {};
  }
  Result<void> Punch(ByteRange range) override {
    TRY(mounter_.Call(Request(MountOperation::kPunch).Add(range.offset).Add(range.length)));
    return {};
  }
  Result<void> Finish() override {
    TRY(mounter_.Call(Request(MountOperation::kFinishContent)));
    return {};
  }

 private:
  [[nodiscard]] MountRequestWriter Request(MountOperation operation) const {
    return MountRequestWriter(operation).Add(session_).Add(inode_);
  }

  Mounter& mounter_;
  uint32_t session_;
  uint64_t inode_;
};

}  // namespace

Result<uint64_t> RemoteWriter::Create(const Place& at, const NewObject& object) {
  MountRequestWriter request(MountOperation::kCreate);
  request.Add(session_).Add(at.directory).Add(at.leaf);
  PutNewObject(object, request.bytes());
  ASSIGN(const MountAnswer answer, mounter_.Call(std::move(request)));
  ByteReader in = answer.reader();
  return in.Take<uint64_t>();
}

Result<void> RemoteWriter::Link(const Place& at, uint64_t inode) {
  MountRequestWriter request(MountOperation::kLink);
  TRY(mounter_.Call(request.Add(session_).Add(at.directory).Add(at.leaf).Add(inode)));
  return {};
}

Result<void> RemoteWriter::Remove(const Place& at) {
  MountRequestWriter request(MountOperation::kRemove);
  TRY(mounter_.Call(request.Add(session_).Add(at.directory).Add(at.leaf)));
  return {};
}

Result<void> RemoteWriter::Rename(const Place& from, const Place& to) {
  MountRequestWriter request(MountOperation::kRename);
  request.Add(session_).Add(from.directory).Add(from.leaf);
  TRY(mounter_.Call(request.Add(to.directory).Add(to.leaf)));
  return {};
}

Result<void> RemoteWriter::SetAttributes(uint64_t inode, const Attributes& attributes) {
  MountRequestWriter request(MountOperation::kSetAttributes);
  request.Add(session_).Add(inode);
  PutAttributes(attributes, request.bytes());
  TRY(mounter_.Call(std::move(request)));
  return {};
}

Result<std::unique_ptr<ContentWriter>> RemoteWriter::OpenContent(uint64_t inode) {
  return std::unique_ptr<ContentWriter>(std::make_unique<RemoteContent>(mounter_, session_, inode));
}

}  // namespace mica::guest
