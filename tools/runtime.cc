// SPDX-License-Identifier: Apache-2.0
#include "tools/runtime.h"

namespace mica {

Result<Runtime> MakeRuntime(IoEngine) {
  return Error{Errc::kUnsupported, "this build has no access to the host's files"};
}

}  // namespace mica
