// SPDX-License-Identifier: Apache-2.0
// ParentControl: what ties an image to the one below it. The jobs that change a chain (engine/jobs:
// commit, flatten, reparent) move the data through the chain and then say so here.
#pragma once

#include "engine/layer.h"

namespace mica {

// Loop thread only, and not beside writes to the same blocks.
class ParentControl {
 public:
  ParentControl() = default;
  ParentControl(const ParentControl&) = delete;
  ParentControl& operator=(const ParentControl&) = delete;
  virtual ~ParentControl() = default;

  // Whatever the layer holds for `range` (whole clusters, the last one may end at the virtual size)
  // is dropped and the parent shows through again. The caller knows that the parent has the same
  // content there, durably: the guest sees no difference, and the time of last change stays (a
  // crash may make it later, never earlier). Like a
  // write this is for readers at once and durable after Flush.
  virtual Async<void> MarkSameAsParent(ByteRange range) = 0;

  // Blocks (whole clusters, the last one may end at the virtual size) that this layer holds no data
  // for and that read zero get an entry that says so, whatever a later parent has there. For
  // readers and durable as above; the time of last change stays.
  virtual Async<void> RecordZero(ByteRange range) = 0;

  // Whether SwitchParent would be refused for what the image holds (snapshots, which stand on the
  // parent as well): kUnsupported, saying what helps.
  [[nodiscard]] virtual Result<void> CheckSwitch() const = 0;

  // Replaces the parent in one step that a power cut leaves either done or not done; empty: the
  // image has no parent any more. `shown_bytes` of the new parent show through at most, and none
  // where the old one did not because the disk was smaller for a time. Everything published before
  // is made durable with it. The caller has made the layer hold every block in which the two
  // parents differ. Later calls of Map are about the new parent, so the chain above this layer must
  // be closed and opened again before anybody reads through it.
  virtual Async<void> SwitchParent(std::optional<ParentReference> parent, uint64_t shown_bytes) = 0;
};

}  // namespace mica
