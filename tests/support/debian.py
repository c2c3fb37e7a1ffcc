# SPDX-License-Identifier: Apache-2.0
"""Debian on a mounted root: packages of the archives that apt here knows, installed and asked about in a chroot."""

import os
import re
import subprocess

import harness
from harness import run

# What a release upgrade goes to.
NEXT_RELEASE = {"bookworm": "trixie", "trixie": "forky"}
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
               "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def codename():
    with open("/etc/os-release", encoding="utf-8") as file:
        return re.search(r"^VERSION_CODENAME=(\w+)", file.read(), re.MULTILINE)[1]


def archives():
    """(URI, suite) of this machine's Debian archives; skips the test where apt knows none."""
    fields = "$(ORIGIN) $(COMPONENT) $(REPO_URI) $(CODENAME)"
    lines = run("apt-get", "indextargets", "--format", fields, "Created-By: Packages").stdout.splitlines()
    found = set()
    for origin, component, uri, name in (line.split() for line in lines if line.count(" ") == 3):
        if origin == "Debian" and component == "main" and name.startswith(codename()):
            found.add((uri, name))
    if not found:
        harness.skip("apt knows no Debian archive of this release")
    return sorted(found)


class Guest:
    """A root that is mounted at `root`. Everything it writes to the log goes to `log`."""

    def __init__(self, root, log):
        self.root, self.log = root, log

    def path(self, name):
        return os.path.join(self.root, name.lstrip("/"))

    def run(self, *command, accepted=(0,), text=None):
        """Runs a program in the root and returns its result; whatever it leaves running is ended. No mount
        namespace of its own: one would keep every other mount of the machine busy."""
        environment = dict(ENVIRONMENT)
        if "http_proxy" in os.environ:
            environment["http_proxy"] = os.environ["http_proxy"]
        run("mount", "-t", "proc", "proc", self.path("proc"))
        try:
            result = subprocess.run(["unshare", "--pid", "--fork", "--kill-child", "chroot", self.root, *command],
                                    env=environment, input=text, capture_output=True, text=True, check=False)
        finally:
            run("umount", self.path("proc"))
        with open(self.log, "a", encoding="utf-8") as log:
            log.write(f"$ {' '.join(command)}\n{result.stdout}{result.stderr}")
        if result.returncode not in accepted:
            raise AssertionError(f"{' '.join(command)}: exit status {result.returncode}\n"
                                 f"{result.stdout[-3000:]}{result.stderr[-3000:]}")
        return result

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def write(self, name, content, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(self.path(name), mode)

    def append(self, name, content):
        self.write(name, self.read(name) + content, os.stat(self.path(name)).st_mode & 0o7777)

    def edit(self, name, pattern, replacement):
        """Replaces what the pattern matches once in a file, as an editor in place would."""
        text, count = re.subn(pattern, replacement, self.read(name), count=1, flags=re.MULTILINE)
        assert count == 1, f"{name} has no {pattern}"
        self.write(name, text, os.stat(self.path(name)).st_mode & 0o7777)

    # --- Packages.

    def use_archives(self, *suites):
        """Of this machine's archives those of these suites; of the next release the same, renamed."""
        self.write("/etc/apt/sources.list", "".join(f"deb {uri} {suite} main\n" for uri, suite in suites))
        self.run("apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update")

    def install(self, *packages):
        self.run("apt-get", "-q", "-y", "--no-install-recommends", "install", *packages)
        self.run("apt-get", "-q", "clean")

    def upgrade(self):
        """To the newest of its archives; configuration files that somebody edited stay."""
        self.run("apt-get", "-q", "-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confdef",
                 "-o", "Dpkg::Options::=--force-confold", "dist-upgrade")
        self.run("apt-get", "-q", "clean")

    def packages(self):
        """Name -> version of what is installed."""
        lines = run("dpkg-query", f"--admindir={self.path('var/lib/dpkg')}", "--show", "--showformat",
                    "${Package} ${Version} ${db:Status-Status}\n").stdout.splitlines()
        return {name: version for name, version, status in map(str.split, lines) if status == "installed"}

    def verify(self):
        """dpkg's own judgement of files: path -> line, such as "??5?????? c /etc/hosts"."""
        lines = self.run("dpkg", "--verify", accepted=(0, 1)).stdout.splitlines()
        return {line.split()[-1]: line for line in lines}

    def files_of(self, package):
        result = self.run("dpkg-query", "--listfiles", package)
        return [line for line in result.stdout.splitlines() if line.startswith("/")]


def main_archive():
    return [(uri, suite) for uri, suite in archives() if suite == codename()]


def next_release():
    """The archives of the next release, at the same places."""
    release = NEXT_RELEASE.get(codename())
    if release is None:
        harness.skip(f"no release is known to follow {codename()}")
    return [(uri, suite.replace(codename(), release)) for uri, suite in archives()]
