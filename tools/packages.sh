#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The Debian packages that mica needs, by group, and the one place that installs them.
#
#   tools/packages.sh [--list] build|run|test|bench ...
#
# Installs what is missing of the named groups (as root, or through sudo); does nothing, and needs no
# privilege or network, when all is there. --list prints the names instead.
set -euo pipefail

build_packages=(
  g++ cmake ninja-build ccache pkg-config git
  liburing-dev libaio-dev libxxhash-dev libzstd-dev zlib1g-dev
  libcli11-dev libfmt-dev nlohmann-json3-dev
  libext2fs-dev comerr-dev libfuse3-dev libarchive-dev libgnutls28-dev libnbd-dev libgtest-dev libgmock-dev
  libbenchmark-dev libseccomp-dev libtomlplusplus-dev
)
# What the quickstart drives around mica: a Debian root, its file system, the kernel's view of an export.
run_packages=(
  debootstrap e2fsprogs xfsprogs btrfs-progs util-linux fdisk fuse3 libnbd-bin qemu-utils attr acl libcap2-bin python3
  python3-libnbd
)
# libnss-myhostname: localhost has an address also where there is no /etc/hosts.
test_packages=(
  dosfstools mtools lvm2
  qemu-system-x86 nbdkit nbd-client gnutls-bin libvirt-clients libxml2-utils fio strace jq
  busybox-static cpio xz-utils shellcheck prometheus systemd
  libnss-myhostname
)
# The peers of bench/, beside those above.
bench_packages=(
  squashfs-tools erofs-utils
)

packages_of() {
  case $1 in
    build) printf '%s\n' "${build_packages[@]}" ;;
    run) printf '%s\n' "${run_packages[@]}" ;;
    test) printf '%s\n' "${test_packages[@]}" ;;
    bench) printf '%s\n' "${bench_packages[@]}" ;;
    *) echo "packages.sh: no group named '$1' (build, run, test, bench)" >&2; return 2 ;;
  esac
}

is_installed() {
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "packages.sh: not root and no sudo here; as root, run: apt-get install ${missing[*]}" >&2
    return 1
  fi
}

main() {
  local list=no group package wanted missing=()
  [[ ${1:-} == --list ]] && { list=yes; shift; }
  [[ $# -gt 0 ]] || { echo "usage: packages.sh [--list] build|run|test|bench ..." >&2; return 2; }
  for group in "$@"; do
    wanted=$(packages_of "$group")
    [[ $list == yes ]] && { echo "$wanted"; continue; }
    for package in $wanted; do
      is_installed "$package" || missing+=("$package")
    done
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0

  command -v apt-get >/dev/null || {
    echo "packages.sh: this is no Debian; install what matches: ${missing[*]}" >&2
    return 1
  }
  echo "installing ${#missing[@]} packages: ${missing[*]}" >&2
  # A repository of somebody else that does not answer is no reason to stop; a package not found is.
  as_root apt-get -q update >&2 || echo "packages.sh: apt-get update failed; going on with the old lists" >&2
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "${missing[@]}" >&2
}

main "$@"
