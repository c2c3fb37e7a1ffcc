// SPDX-License-Identifier: Apache-2.0
// GuestImage: an image opened to look at its files, for the verbs that take IMAGE[:VOLUME].
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/image_chain.h"
#include "tools/cli/verb.h"
#include "tools/guest/disk.h"
#include "tools/guest/ext4/view.h"

namespace mica {

struct ImageSpec {
  std::string path;
  std::optional<guest::VolumeId> volume;
};

// "vm.mica:2" is partition 2 of vm.mica and "vm.mica:vg0/root" a logical volume of it, unless there
// is a file of just that name.
ImageSpec ParseImageSpec(const std::string& text);

class GuestImage {
 public:
  // Takes no locks: an image that is being used is shown as it was at its last flush; what is read
  // is verified. kUnsupported names what the partition holds when it is no ext file system.
  static Result<std::unique_ptr<GuestImage>> Open(Context& context, const ImageSpec& spec);

  [[nodiscard]] guest::Ext4Volume& volume() noexcept { return view_->volume(); }
  [[nodiscard]] guest::Ext4View& view() noexcept { return *view_; }
  [[nodiscard]] ImageChain& chain() noexcept { return *chain_; }
  [[nodiscard]] const guest::DiskVolume& place() const noexcept { return place_; }

 private:
  GuestImage() = default;

  std::unique_ptr<ImageChain> chain_;
  guest::DiskVolume place_;
  std::unique_ptr<guest::Ext4View> view_;
};

}  // namespace mica
