# SPDX-License-Identifier: Apache-2.0
"""Boots a guest under QEMU, without hardware help, and reads its serial console."""

import os
import selectors
import subprocess
import time

BOOT_SECONDS_MAX = 180


def boot(uri, kernel, initramfs, parameters="", wanted=("login:", "CHECK end")):
    """Boots a guest from the disk `uri` and ends it when the console has said all that is `wanted`; returns
    the console's text."""
    command = [
        "qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "512", "-display", "none",
        "-nic", "none", "-monitor", "none", "-no-reboot", "-serial", "stdio",
        "-kernel", kernel, "-initrd", initramfs,
        "-append", f"console=ttyS0 panic=-1 quiet systemd.show_status=false {parameters}".strip(),
        "-drive", f"file={uri},format=raw,if=virtio"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as guest:
        try:
            return read_console(guest.stdout, time.monotonic() + BOOT_SECONDS_MAX, wanted)
        finally:
            guest.kill()


def read_console(stream, deadline, wanted):
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while not all(word.encode() in text for word in wanted):
            if not selector.select(max(0, deadline - time.monotonic())):
                break
            piece = os.read(stream.fileno(), 65536)
            if not piece:
                break
            text += piece
    return text.decode(errors="replace").replace("\r", "")
