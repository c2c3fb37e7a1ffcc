// SPDX-License-Identifier: Apache-2.0
#include "tools/guest/mounted/mounted_view.h"

#include "engine/async/sync_wait.h"

namespace mica::guest {

Result<std::unique_ptr<VolumeFile>> VolumeFile::Attach(Mounter& mounter, BlockDevice& device) {
  ASSIGN(MountAnswer answer, mounter.Call(MountRequestWriter(MountOperation::kAttach)));
  ByteReader in = answer.reader();
  const auto session = in.Take<uint32_t>();
  if (!in.at_end() || !answer.descriptor) {
    return Error{Errc::kIo, "an answer of the mounter process that cannot be understood"};
  }
  std::unique_ptr<VolumeFile> file(new VolumeFile(mounter, session));
  ASSIGN(file->file_, FuseFile::Serve(mounter.loop(), device, std::move(answer.descriptor)));
  return file;
}

VolumeFile::~VolumeFile() {
  static_cast<void>(Detach());  // whoever cares has detached before
}

Result<UniqueFd> VolumeFile::Open() {
  ASSIGN(MountAnswer answer,
         mounter_.Call(MountRequestWriter(MountOperation::kFile).Add(session_)));
  if (!answer.descriptor) return Error{Errc::kIo, "the mounter process gave no file"};
  return std::move(answer.descriptor);
}

Result<void> VolumeFile::Detach() {
  if (!file_) return {};
  const Result<MountAnswer> detached =
      mounter_.Call(MountRequestWriter(MountOperation::kDetach).Add(session_));
  // A mounter that has ended has let go as well.
  mounter_.loop().RunUntil([this] { return file_->ended(); });
  const std::optional<Error> failed = file_->failed();
  file_.reset();
  if (failed) return *failed;  // what the kernel made of it says less
  if (!detached) return detached.error();
  return {};
}

Result<std::unique_ptr<MountedView>> MountedView::Open(Mounter& mounter, const MountedPlace& place,
                                                       MountAccess access) {
  return Mount(mounter, place, access, 0);
}

Result<std::unique_ptr<MountedView>> MountedView::OpenLike(Mounter& mounter,
                                                           const MountedPlace& place,
                                                           MountedView& like) {
  return Mount(mounter, place, MountAccess::kReadWrite, like.volume().session());
}

Result<std::unique_ptr<MountedView>> MountedView::Mount(Mounter& mounter, const MountedPlace& place,
                                                        MountAccess access, uint32_t like) {
  std::unique_ptr<MountedView> view(new MountedView(mounter.loop(), place));
  {
    SyncDevice device(mounter.loop(), view->pieces_);
    ASSIGN(view->superblock_, ReadMountedSuperblock(device, place.kind));
  }
  const bool write = access == MountAccess::kReadWrite;
  if (!write) view->overlay_.emplace(view->pieces_);
  BlockDevice& bytes = write ? static_cast<BlockDevice&>(view->pieces_) : *view->overlay_;
  ASSIGN(view->file_, VolumeFile::Attach(mounter, bytes));
  const uint32_t session = view->file_->session();
  MountRequestWriter request(MountOperation::kMount);
  request.Add(session)
      .Add(KernelNameOf(place.kind))
      .Add(static_cast<uint8_t>(write ? 1 : 0))
      .Add(like);
  const Result<MountAnswer> mounted = mounter.Call(std::move(request));
  if (!mounted) {
    TRY(view->file_->Detach());
    return mounted.error();
  }
  ByteReader in = mounted->reader();
  const auto root = in.Take<uint64_t>();
  const RemoteTree::Keep keep = write ? RemoteTree::Keep::kNothing : RemoteTree::Keep::kListings;
  view->tree_ = std::make_unique<RemoteTree>(mounter, session, root, keep);
  if (write) view->writer_ = std::make_unique<RemoteWriter>(mounter, session);
  return view;
}

std::vector<ByteRange> MountedView::replayed() const {
  return overlay_ ? overlay_->OverlaidRanges() : std::vector<ByteRange>();
}

Result<void> MountedView::Close() {
  TRY(file_->Detach());
  return writer_ ? SyncWait(loop_, pieces_.Flush()) : Result<void>();
}

}  // namespace mica::guest
