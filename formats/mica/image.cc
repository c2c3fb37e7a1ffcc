// SPDX-License-Identifier: Apache-2.0
#include "formats/mica/image.h"

#include <fmt/format.h>

namespace mica::native {

Async<void> Image::Sync() {
  CO_TRY(CheckHealthy());
  Result<void> synced = co_await file->Sync();
  if (!synced) {
    poison = Error{synced.error().code, synced.error().sys_errno,
                   fmt::format("{}: a sync failed, so what reached the disk is unknown; nothing "
                               "more is written until the image is opened again ({})",
                               path.string(), synced.error().message)};
    co_return *poison;
  }
  co_return synced;
}

Result<void> Image::CheckHealthy() const {
  if (poison) return *poison;
  if (!superseded) return {};
  return Error{
      Errc::kReadOnly,
      path.string() + ": the disk has become another one; close the image and open it again"};
}

Async<void> Image::ConfirmSuperblock() {
  if (superblock_confirmed) co_return Result<void>();
  CO_TRY(co_await WriteSuperblock(*file, superblock, superblock_position));
  CO_TRY(co_await Sync());
  superblock_confirmed = true;
  co_return Result<void>();
}

Async<void> WriteSuperblock(BlockFile& file, const Superblock& superblock, uint32_t position) {
  AlignedBuffer block(kSlotBytes);
  EncodeSuperblock(superblock, block.span());
  co_return co_await file.Write(SlotOffset(position), block.span());
}

Async<SuperblockChoice> ReadSuperblock(BlockFile& file) {
  AlignedBuffer blocks(size_t{2} * kSlotBytes);
  CO_TRY(co_await file.Read(0, blocks.span()));
  co_return ChooseSuperblock(blocks.span().first(kSlotBytes), blocks.span().last(kSlotBytes));
}

}  // namespace mica::native
