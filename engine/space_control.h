// SPDX-License-Identifier: Apache-2.0
// SpaceControl: what an image takes of the host, what it may take, and giving back what it need not
// keep.
#pragma once

namespace mica {

class SpaceControl {
 public:
  SpaceControl() = default;
  SpaceControl(const SpaceControl&) = delete;
  SpaceControl& operator=(const SpaceControl&) = delete;
  virtual ~SpaceControl() = default;
};

}  // namespace mica
