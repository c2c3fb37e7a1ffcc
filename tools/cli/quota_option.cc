// SPDX-License-Identifier: Apache-2.0
#include "tools/cli/quota_option.h"

namespace mica {

void ApplyDefaultQuota(const ImageFormat& format, CreateOptions& options) {
  if (format.name() != "mica" || !options.parent) return;
  options.extra.try_emplace("quota", std::to_string(kDefaultQuotaBytes));
}

}  // namespace mica
