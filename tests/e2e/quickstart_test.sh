#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# README's first command, with the program under test; its disks stay in $1 for the boot test.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
need_root
need_programs debootstrap nbdfuse nbdcopy qemu-img qemu-nbd setfacl setfattr setcap
"$tools/quickstart.sh" --dir "$1" --mica "$mica"
