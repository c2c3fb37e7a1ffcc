// SPDX-License-Identifier: Apache-2.0
#include "tools/browse/guest_image.h"

#include <fmt/core.h>

#include <filesystem>

#include "engine/async/sync_wait.h"
#include "formats/open_chain.h"

namespace mica {

ImageSpec ParseImageSpec(const std::string& text) {
  std::error_code ignored;
  if (std::filesystem::exists(text, ignored)) return {text, {}};
  // The names of logical volumes have no colons.
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return {text, {}};
  const std::optional<guest::VolumeId> volume = guest::VolumeId::Parse(text.substr(colon + 1));
  if (!volume) return {text, {}};
  return {text.substr(0, colon), volume};
}

Result<std::unique_ptr<GuestImage>> GuestImage::Open(Context& context, const ImageSpec& spec) {
  std::unique_ptr<GuestImage> image(new GuestImage);
  OpenChainOptions options;
  options.without_locks = true;
  ASSIGN(image->chain_, SyncWait(context.loop, OpenChain(context.host, spec.path, options)));
  guest::SyncDevice device(context.loop, *image->chain_);
  Result<guest::Disk> disk = guest::ReadDisk(device);
  if (!disk) return std::move(disk).error().WithContext(spec.path);
  Result<guest::DiskVolume> place = guest::PickVolume(*disk, spec.volume);
  if (!place) return std::move(place).error().WithContext(spec.path);
  image->place_ = *place;
  if (place->kind != guest::VolumeKind::kExt) {
    return Error{Errc::kUnsupported, fmt::format("{}: expected ext2, ext3 or ext4, found {}",
                                                 spec.path, guest::VolumeKindName(place->kind))};
  }
  Result<std::unique_ptr<guest::Ext4View>> view =
      guest::Ext4View::Open(context.loop, *image->chain_, image->place_.pieces);
  if (!view) return std::move(view).error().WithContext(spec.path);
  image->view_ = std::move(*view);
  return image;
}

}  // namespace mica
