#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every shell script that git tracks, through shellcheck.
set -euo pipefail
cd "$1"
command -v shellcheck >/dev/null || {
  echo "SKIPPED: shellcheck is not installed" >&2
  exit 77
}
git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck --external-sources
