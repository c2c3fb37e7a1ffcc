#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""fio with verification on two exports while the server is upgraded, killed with -9, and stopped and started.

fio's NBD engine cannot reconnect, so each fio has a relay that does (tests/support/nbd_relay.py). Nothing may reach
fio: no error, no wrong block. The relay in turn looks after each crash at what the acknowledged flushes cover.
fio writes every block of its part of the disk in random order, 16 in flight on each of two connections, flushes
after every few writes, and reads all of it back; then it begins again with another seed.

Replay one seed with: reconnect_test.py --seed N [--rounds N]
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
import upgrade_test  # noqa: E402
from harness import mica  # noqa: E402
from nbd_relay import PATIENCE_SECONDS, Relay  # noqa: E402

JOBS = 2
PART = 4 << 20  # of the disk, for each connection
DISK = JOBS * PART


class Fio(threading.Thread):
    """One fio after another until it is told to stop."""

    def __init__(self, relay, directory, seed):
        super().__init__()
        self.relay, self.directory, self.seed = relay, directory, seed
        self.over, self.runs, self.error = False, 0, None

    def run(self):
        generator = random.Random(self.seed)
        while not self.over and self.error is None:
            command = ["fio", "--name=job", "--ioengine=nbd", f"--uri={self.relay.uri()}", f"--numjobs={JOBS}",
                       f"--size={PART}", f"--offset_increment={PART}", "--rw=randwrite", "--iodepth=16",
                       f"--bssplit={generator.choice(('4k/100', '4k/70:16k/20:64k/10'))}", "--bs_unaligned=0",
                       "--blockalign=4k", "--randrepeat=1", f"--randseed={generator.randrange(1 << 30)}",
                       f"--fsync={generator.choice((1, 4, 16, 64))}", "--verify=crc32c",
                       "--do_verify=1", "--verify_fatal=1", "--verify_state_save=0", "--group_reporting",
                       "--output-format=terse"]
            result = subprocess.run(command, cwd=self.directory, capture_output=True, text=True, check=False)
            self.runs += 1
            if result.returncode != 0 or "err=" in result.stderr or "verify:" in result.stderr:
                self.error = f"fio ended with {result.returncode}\n{' '.join(command)}\n{result.stdout}{result.stderr}"


def wait_until_settled(relays):
    """Every connection is one to the present server: what is lost from now on is lost to what comes next."""
    give_up = time.monotonic() + PATIENCE_SECONDS
    while any(link.is_alive() and link.generation != relay.generation for relay in relays for link in relay.links):
        if time.monotonic() > give_up or any(relay.errors for relay in relays):
            return  # which shows
        time.sleep(0.005)


def run_rounds(service, relays, rounds, generator):
    """Each round is an upgrade, a kill or a stop. Returns how often each was done."""
    done = {"upgrade": 0, "kill": 0, "stop": 0}
    for number in range(rounds):
        time.sleep(generator.uniform(0.02, 0.4))
        action = generator.choice(("upgrade", "kill", "kill", "stop")) if number % 2 else "upgrade"
        done[action] += 1
        if action == "upgrade":
            wait_until_settled(relays)
            reconnects = sum(relay.reconnects for relay in relays)
            links = sum(len(relay.links) for relay in relays)
            service.upgrade()
            # One that was in negotiation is disconnected, which its relay does not show to its client.
            new_links = sum(len(relay.links) for relay in relays) - links
            if sum(relay.reconnects for relay in relays) - reconnects > new_links:
                raise AssertionError(f"a connection did not survive an upgrade\n{service.words()}")
        else:
            for relay in relays:
                relay.ends[relay.generation] = "clean" if action == "stop" else "crash"
            if action == "stop":
                service.stop()
            else:
                service.kill()
            for relay in relays:
                relay.generation += 1
            service.start()
        errors = [str(error) or repr(error) for relay in relays for error in relay.errors]
        if errors:
            raise AssertionError(f"after {number + 1} rounds, the last a {action}: {errors}\n{service.words()}")
    return done


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=16)
    arguments = parser.parse_args()
    harness.need_programs("fio")
    with tempfile.TemporaryDirectory(prefix="mica-reconnect-") as directory:
        master = harness.make_raw(os.path.join(directory, "master.raw"), DISK)
        mica("seal", master)
        for name in upgrade_test.EXPORTS:
            mica("clone", master, os.path.join(directory, f"{name}.mica"))
        service = upgrade_test.Service(directory)
        relays = [Relay(os.path.join(directory, f"{name}.relay"), service.socket, name, arguments.seed)
                  for name in upgrade_test.EXPORTS]
        loads = [Fio(relay, directory, arguments.seed * 2 + index) for index, relay in enumerate(relays)]
        begin = time.monotonic()
        try:
            for load in loads:
                load.start()
            done = run_rounds(service, relays, arguments.rounds, random.Random(arguments.seed))
            for load in loads:
                load.over = True
            for load in loads:
                load.join()
            errors = [load.error for load in loads if load.error] + [error for relay in relays
                                                                     for error in relay.errors]
            if errors:
                raise AssertionError(f"{errors[0]}\n{service.words()}")
            service.stop()
        finally:
            service.kill()
            for load in loads:
                load.over = True
            for relay in relays:
                relay.close()
            service.log.close()
        for name in upgrade_test.EXPORTS:
            mica("check", os.path.join(directory, f"{name}.mica"))
    print(f"{done['upgrade']} upgrades, {done['kill']} kills and {done['stop']} stops without an error for fio: "
          f"{sum(load.runs for load in loads)} runs, {sum(relay.flushes for relay in relays)} flushes, "
          f"{sum(relay.reconnects for relay in relays)} reconnections, {time.monotonic() - begin:.1f} s "
          f"(seed {arguments.seed})")


if __name__ == "__main__":
    main()
