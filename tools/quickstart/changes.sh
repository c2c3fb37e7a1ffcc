# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The three hands of the story, each working on a mounted Debian root: whoever made the master, the owner
# of one machine, and the administrator who patches the master. Needs disk.sh and debian.sh.

# shellcheck disable=SC2034  # used by quickstart.sh
master_packages=systemd-sysv,udev,passwd,less
owner_packages=(openssh-server cron vim-tiny)
patch_packages=(dbus rsyslog nano)

# furnish_master ROOT: what the site puts on every machine.
furnish_master() {
  local root=$1
  site_package "$root" 1.0
  echo golden >"$root/etc/hostname"
  printf '%s\n' '127.0.0.1 localhost' '10.0.0.1 gateway' '10.0.0.2 printer' >"$root/etc/hosts"
  echo 'Welcome to the site.' >"$root/etc/motd"
  mkdir -p "$root/srv/projects/alpha/notes" "$root/srv/projects/beta" "$root/srv/data"
  seq -f 'alpha line %g' 1 200 >"$root/srv/projects/alpha/README"
  echo 'to be removed by the patch' >"$root/srv/projects/alpha/obsolete.txt"
  seq -f 'note %g' 1 50 >"$root/srv/projects/alpha/notes/first"
  seq -f 'beta line %g' 1 50 >"$root/srv/projects/beta/README"
  echo 'to be deleted by the owner' >"$root/srv/projects/beta/old.txt"
  head -c 16M /dev/urandom >"$root/srv/data/table.bin"
  # The root has a serial console and no password to ask for: the boot test reads what it prints.
  in_root "$root" passwd --delete root >/dev/null
}

# owner_files ROOT: files of every kind that a file system can hold.
owner_files() {
  local home=$1/home/alice name
  mkdir -p "$home/documents" "$home/odd names"
  head -c 3M /dev/urandom >"$home/documents/photo.raw"
  seq 1 20000 >"$home/documents/numbers.txt"
  ln "$home/documents/numbers.txt" "$home/documents/numbers-again.txt"
  ln -s documents/numbers.txt "$home/numbers"
  truncate --size 64M "$home/documents/sparse.img"
  printf 'data behind a hole' | dd of="$home/documents/sparse.img" bs=1M seek=40 conv=notrunc status=none
  setfattr --name user.origin --value 'the scanner' "$home/documents/photo.raw"
  setfattr --name user.long --value "$(head -c 1500 /dev/zero | tr '\0' x)" "$home/documents/numbers.txt"
  setfacl --modify user:nobody:r,group:games:rw "$home/documents/numbers.txt"
  setfacl --default --modify group:games:rx "$home/documents"
  mkfifo "$home/pipe"
  for name in $'new\nline' 'späße ☃' $'not utf-8 \xff\xfe' '-rf' ' leading space' "$(printf 'long%0251d' 0)"; do
    printf 'content of %q\n' "$name" >"$home/odd names/$name"
  done
}

# work_as_owner ROOT: what the owner of one machine did with it.
work_as_owner() {
  local root=$1
  apt_install "$root" "${owner_packages[@]}"
  in_root "$root" useradd --create-home --shell /bin/bash alice
  owner_files "$root"
  in_root "$root" chown --recursive --no-dereference alice:alice /home/alice
  cp "$root/bin/true" "$root/usr/local/bin/low-port"
  setcap cap_net_bind_service+ep "$root/usr/local/bin/low-port"
  echo vm1 >"$root/etc/hostname"
  echo '10.0.0.42 build-server' >>"$root/etc/hosts"
  sed -i 's/^#*PermitRootLogin.*/PermitRootLogin no/' "$root/etc/ssh/sshd_config"
  mkdir -p "$root/srv/archive"
  mv "$root/srv/projects/alpha" "$root/srv/archive/alpha-2024"
  rm "$root/srv/projects/beta/old.txt"
  echo 'beta line 51, by the owner' >>"$root/srv/projects/beta/README"
  printf 'changed in place' | dd of="$root/srv/data/table.bin" bs=1 seek=5000000 conv=notrunc status=none
  echo 'This machine belongs to Alice.' >"$root/etc/motd"
  boot_check_service "$root"
}

# boot_check_service ROOT: a service of the owner's own that tells on the console what the machine has.
boot_check_service() {
  local root=$1
  cat >"$root/usr/local/sbin/boot-check" <<'SCRIPT'
#!/bin/bash
# Each line opens the console anew: the login program hangs up whoever has it open when it starts.
tell() { while IFS= read -r line; do echo "$line" >/dev/ttyS0; done; }
{
  echo "CHECK begin"
  dpkg-query --show --showformat 'CHECK package ${Package} ${Version} ${db:Status-Status}\n' \
    openssh-server cron vim-tiny dbus rsyslog nano site-tools 2>/dev/null
  echo "CHECK run $(site-tools)"
  for name in sshd messagebus alice; do echo "CHECK user $(getent passwd $name)"; done
  for path in /srv/archive/alpha-2024/README /srv/projects/beta/README /srv/data/table.bin /etc/hosts \
    /home/alice/documents/photo.raw /home/alice/documents/numbers.txt; do
    echo "CHECK file $path $(sha256sum <$path)"
  done
  echo "CHECK audit $(dpkg --audit | wc -l)"
  echo "CHECK failed $(systemctl --failed --no-legend --plain | awk '{ print $1 }' | xargs)"
  echo "CHECK end"
} | tell
SCRIPT
  chmod 755 "$root/usr/local/sbin/boot-check"
  cat >"$root/etc/systemd/system/boot-check.service" <<'UNIT'
[Unit]
Description=Tell on the console what this machine has
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/boot-check

[Install]
WantedBy=multi-user.target
UNIT
  in_root "$root" systemctl enable boot-check.service
}

# patch_as_administrator ROOT: the new version of the master.
patch_as_administrator() {
  local root=$1
  use_all_archives "$root"
  in_root "$root" apt-get -q -y upgrade
  apt_install "$root" "${patch_packages[@]}"
  in_root "$root" apt-get -q clean
  site_package "$root" 2.0
  sed -i 's/^10.0.0.2 printer/10.0.0.3 printer/' "$root/etc/hosts"
  echo 'Welcome to the site, release 2.' >"$root/etc/motd"
  sed -i '1s/.*/alpha line 1, patched/' "$root/srv/projects/alpha/README"
  sed -i '1s/.*/beta line 1, patched/' "$root/srv/projects/beta/README"
  rm "$root/srv/projects/alpha/obsolete.txt"
  echo 'umask 027' >"$root/etc/profile.d/site.sh"
}
