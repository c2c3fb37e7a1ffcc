# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the end-to-end tests in shell share. ${MICA} is the program under test.
set -euo pipefail
e2e=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$e2e/../../tools
# shellcheck source=tools/quickstart/disk.sh
. "$tools/quickstart/disk.sh"

mica=${MICA:?the program under test}

# skip REASON: ends the test as skipped; in CI, which has everything, that counts as a failure.
skip() {
  echo "SKIPPED: $*" >&2
  exit 77
}

need_programs() {
  local name
  for name in "$@"; do
    command -v "$name" >/dev/null || skip "the program $name is not installed"
  done
}

need_root() {
  [[ $(id -u) == 0 ]] || skip "not root: loop devices and mounts"
  [[ -e /dev/fuse && -e /dev/loop-control ]] || skip "no /dev/fuse or no loop devices here"
}

# scratch: sets ${dir} to a new folder that goes away at the end.
scratch() {
  dir=$(mktemp -d "${TMPDIR:-/var/tmp}/mica-test-XXXXXX")
  at_exit rm -rf "$dir"
}
