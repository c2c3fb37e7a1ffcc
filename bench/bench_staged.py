#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""bench_staged.py FOLDER: for how long a Debian VM that is rebased has to be off (root, a Debian archive, fio).

FOLDER has the golden disk that tests/e2e/pairs_master.py makes. The patch is all updates of the release. The VM runs
(nbdfuse, loop, mount) with fio writing and apt installing packages in it while its rebase is staged twice; then a few
files change, it goes off, and the rebase that waited for that finishes. The time is from the end of the last client
to the export of the new disk. Beside it: the same VM rebased without staging. MICA=PROGRAM names the mica to measure.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "tests", "support"), os.path.join(HERE, "..", "tools", "quickstart")]
import debian  # noqa: E402
import harness  # noqa: E402
from harness import Server, mica, run  # noqa: E402
from mounts import PARTITION_OFFSET, FuseFile, Mounted, copy_disk, mounted_volumes  # noqa: E402

PACKAGES = ("nano", "htop", "jq", "rsync", "git")
FILES = 40
SHUTDOWN_SECONDS = 2  # what a guest takes from the word to the end; the rebase waits, and works ahead


def make_patch(golden, disk, log):
    copy_disk(golden, disk)
    with mounted_volumes(disk, ((PARTITION_OFFSET, ""),), "nobarrier") as root:
        guest = debian.Guest(root, log)
        guest.use_archives(*debian.archives())
        guest.upgrade()
    mica("seal", disk)


class Clock:
    def __init__(self):
        self.start = time.monotonic()

    def tell(self, what):
        now = time.monotonic()
        print(f"{now - self.start:8.2f} s  {what}", flush=True)
        self.start = now


def timed(*arguments, accepted=(0, 3)):
    """A `mica rebase`: its seconds, and the lines with figures."""
    start = time.monotonic()
    result = subprocess.run([harness.MICA, "rebase", *arguments], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    if result.returncode not in accepted:
        raise AssertionError(f"mica rebase {arguments}: {result.returncode}\n{result.stdout}{result.stderr}")
    return seconds, figures_of(result.stdout) + result.stderr


def figures_of(text):
    return "; ".join(re.findall(r"^partition 1: (.*)$", text, re.MULTILINE))


def work(root, log):
    """Packages are installed while fio writes; both end before the VM does."""
    fio = subprocess.Popen(["fio", "--name=load", f"--directory={root}/var/tmp", "--rw=randwrite", "--bs=16k", "--size=64m",
                            "--fsync=32", "--time_based", "--runtime=20"], stdout=subprocess.DEVNULL)
    guest = debian.Guest(root, log)
    guest.use_archives(*debian.archives())
    guest.install(*PACKAGES)
    fio.wait()


def stage(when, *arguments):
    print("staged {}: {:.2f} s: {}".format(when, *timed("--stage", *arguments)))


def live(disk, folder, *rebase):
    """What the VM does while it is on, with its rebase staged twice; gives the one that waits for it to be off."""
    with Mounted(disk) as root:
        load = threading.Thread(target=work, args=(root, os.path.join(folder, "vm.log")))
        load.start()
        time.sleep(5)
        stage("under load", *rebase)
        load.join()
        run("sync", "--file-system", root)
        stage("again", *rebase)
        for number in range(FILES):
            with open(f"{root}/srv/late{number}", "w", encoding="ascii") as file:
                file.write(f"late {number}\n" * 50)
        waiting = subprocess.Popen([harness.MICA, "rebase", *rebase, "--wait", "600"],
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        time.sleep(SHUTDOWN_SECONDS)
        return waiting


def judge(disk):
    run("e2fsck", "-fn", f"{disk}?offset={PARTITION_OFFSET}")
    with Mounted(disk, "ro,noload") as root:
        assert os.path.exists(f"{root}/srv/late{FILES - 1}")
        audit = run("dpkg", f"--root={root}", "--audit").stdout
        assert audit == "", audit


def run_vm(folder, vm, onto, control):
    """Returns the seconds that the VM was off, and what the rebase said."""
    with Server(folder, f"vm={vm}", options=("--control", control)) as server:
        with FuseFile(server.uri("vm"), folder) as disk:
            waiting = live(disk, folder, vm, "--onto", onto, "--control", control)
            off = time.monotonic()
        output, _ = waiting.communicate()
        seconds = time.monotonic() - off
        if waiting.returncode not in (0, 3):
            raise AssertionError(output)
        run("nbdinfo", "--size", server.uri("vm"))
        with FuseFile(server.uri("vm"), folder) as disk:
            judge(disk)
    return seconds, figures_of(output)


def main():
    golden = os.path.join(os.path.abspath(sys.argv[1]), "v1.raw")
    harness.need_root("mounts")
    harness.need_programs("nbdfuse", "fio")
    folder = os.path.join(os.path.abspath(sys.argv[1]), "staged")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    clock = Clock()
    onto, vm = os.path.join(folder, "v2.raw"), os.path.join(folder, "vm.mica")
    make_patch(golden, onto, os.path.join(folder, "v2.log"))
    clock.tell("made the patched master")
    mica("clone", golden, vm)
    seconds, figures = run_vm(folder, vm, onto, os.path.join(folder, "control"))
    print(f"power-off to switched: {seconds:.2f} s: {figures}")
    mica("rollback", vm)
    print("without staging: {:.2f} s: {}".format(*timed(vm, "--onto", onto)))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
