# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Shell functions that make a Debian root of the same release and from the same mirrors as this machine.
# Needs disk.sh.

debian_codename() { sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; }

# The Debian archives of this machine's apt, "URI RELEASE CODENAME" a line; release as apt's sources name it.
debian_archives() {
  # shellcheck disable=SC2016  # apt fills these in
  apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI) $(RELEASE) $(CODENAME)' \
    'Created-By: Packages' |
    awk -v codename="$(debian_codename)" \
      '$1 == "Debian" && $2 == "main" && index($5, codename) == 1 { print $3, $4, $5 }' | sort --unique
}

# What apt here needs to reach its archives, for the apt of a new root.
apt_network_options() {
  apt-config dump | grep -E '^Acquire::((http|https)::Proxy|Check-(Valid-Until|Date)|Retries) ' || true
}

# debian_root DIR PACKAGE,...: a minimal root with the main archive only, as on an installation medium.
debian_root() {
  local root=$1 packages=$2 codename uri proxy=''
  codename=$(debian_codename)
  [[ -n $(debian_archives) ]] || apt-get -q update >&2
  uri=$(debian_archives | awk -v codename="$codename" '$3 == codename { print $1; exit }')
  [[ -n $uri ]] || fail "apt knows no Debian archive of $codename"
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  http_proxy=${http_proxy:-$proxy} debootstrap --variant=minbase --include="$packages" \
    "$codename" "$root" "$uri" || fail "debootstrap from $uri failed"
  apt_network_options >"$root/etc/apt/apt.conf.d/90network"
  echo "deb $uri $codename main" >"$root/etc/apt/sources.list"
  rm -f "$root"/var/cache/apt/archives/*.deb
}

# use_all_archives DIR: updates and security as well, as on a machine that is kept up to date.
use_all_archives() {
  debian_archives | awk '{ print "deb", $1, $2, "main" }' >"$1/etc/apt/sources.list"
  in_root "$1" apt-get -q update
}

apt_install() {
  local root=$1
  shift
  in_root "$root" apt-get -q -y --no-install-recommends install "$@"
}

# site_package DIR VERSION: installs a small package of our own, which every later version upgrades.
site_package() {
  local root=$1 version=$2 tree=$1/tmp/site-tools
  mkdir -p "$tree/DEBIAN" "$tree/usr/bin" "$tree/etc"
  printf '%s\n' 'Package: site-tools' "Version: $version" 'Architecture: all' 'Section: admin' \
    'Priority: optional' 'Maintainer: Site <site@example.org>' 'Description: tools of this site' \
    >"$tree/DEBIAN/control"
  echo /etc/site-tools.conf >"$tree/DEBIAN/conffiles"
  echo "release=$version" >"$tree/etc/site-tools.conf"
  printf '#!/bin/sh\necho site-tools %s\n' "$version" >"$tree/usr/bin/site-tools"
  chmod 755 "$tree/usr/bin/site-tools"
  dpkg-deb --root-owner-group --build "$tree" "$root/tmp/site-tools.deb" >/dev/null
  in_root "$root" dpkg --install /tmp/site-tools.deb
  rm -rf "$tree" "$root/tmp/site-tools.deb"
}
