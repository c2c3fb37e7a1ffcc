#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client that breaks the rules on purpose (libnbd with its strict mode off) gets the specified error,
keeps its connection, and harms nobody: the same handle does a good read after every misuse."""

import errno
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
import harness  # noqa: E402
from harness import Server, mica  # noqa: E402

nbd = harness.import_nbd()

MIB = 1 << 20
SIZE = 8 * MIB
BLOCK = b"\x5a" * 4096


class Misuse(harness.TestCase):
    def setUp(self):
        super().setUp()
        self.master = self.sealed_master(SIZE, BLOCK)
        self.clone(self.master)
        self.server = Server(self.directory, f"vm={self.path('vm.mica')}", f"master={self.master}")
        self.addCleanup(self.server.log.close)
        self.addCleanup(self.server.stop)

    def refused(self, handle, expected, method, *arguments, **options):
        with self.assertRaises(nbd.Error) as caught:
            getattr(handle, method)(*arguments, **options)
        self.assertIn(caught.exception.errnum, expected, f"{method}: {caught.exception}")
        self.assertEqual(handle.pread(4096, 0), BLOCK, f"after {method}")

    def each_dialect(self, export):
        """One client with structured replies, one without."""
        return [self.server.connect(export, strict=False, request_structured_replies=structured)
                for structured in (True, False)]

    def test_past_the_end(self):
        for handle in self.each_dialect("vm"):
            for offset in (SIZE, SIZE - 512, 1 << 32, 1 << 62, (1 << 63) - 4096):
                self.refused(handle, (errno.EINVAL,), "pread", 4096, offset)
                self.refused(handle, (errno.ENOSPC, errno.EINVAL), "pwrite", BLOCK, offset)
                self.refused(handle, (errno.ENOSPC, errno.EINVAL), "zero", 4096, offset)
                self.refused(handle, (errno.EINVAL,), "trim", 4096, offset)
                self.refused(handle, (errno.EINVAL,), "cache", 4096, offset)

    def test_read_only(self):
        for handle in self.each_dialect("master"):
            self.refused(handle, (errno.EPERM, errno.EROFS), "pwrite", BLOCK, 0)
            self.refused(handle, (errno.EPERM, errno.EROFS), "zero", 4096, 0)
            self.refused(handle, (errno.EPERM, errno.EROFS), "trim", 4096, 0)

    def test_unknown_flags(self):
        for handle in self.each_dialect("vm"):
            for method, arguments in (("pread", (4096, 0)), ("pwrite", (BLOCK, 4096)), ("trim", (4096, 4096)),
                                      ("zero", (4096, 4096)), ("cache", (4096, 0))):
                self.refused(handle, (errno.EINVAL,), method, *arguments, flags=1 << 12)

    def test_flags_of_other_commands(self):
        for handle in self.each_dialect("vm"):
            self.refused(handle, (errno.EINVAL,), "pwrite", BLOCK, 4096, flags=nbd.CMD_FLAG_REQ_ONE)
            self.refused(handle, (errno.EINVAL,), "trim", 4096, 4096, flags=nbd.CMD_FLAG_FAST_ZERO)

    def test_df_without_structured_replies(self):
        handle = self.server.connect("vm", strict=False, request_structured_replies=False)
        self.refused(handle, (errno.EINVAL,), "pread", 4096, 0, flags=nbd.CMD_FLAG_DF)
        handle.shutdown()

    def test_status_without_a_context(self):
        handle = self.server.connect("vm", strict=False)
        self.refused(handle, (errno.EINVAL,), "block_status", 4096, 0, lambda *_: 0)
        handle.shutdown()

    def test_zero_length(self):
        for handle in self.each_dialect("vm"):
            handle.pread(0, 0)
            handle.pwrite(b"", 0)
            handle.trim(0, 0)
            handle.zero(0, 0)
            self.assertEqual(handle.pread(4096, 0), BLOCK)

    def test_unaligned(self):
        for handle in self.each_dialect("vm"):
            handle.pwrite(b"odd", 4095 + 4096)
            self.assertEqual(handle.pread(5, 4094 + 4096), b"\0odd\0")
            handle.zero(3, 4095 + 4096)
            self.assertEqual(handle.pread(5, 4094 + 4096), bytes(5))

    def test_clients_that_vanish(self):
        """Dropped with requests in flight, a hundred times; the next client sees nothing of it."""
        for round_number in range(100):
            handle = self.connect_when_allowed()
            for index in range(round_number % 65):
                handle.aio_pwrite(bytes(4096), MIB + index * 4096)
            del handle
        handle = self.connect_when_allowed()
        self.assertEqual(handle.pread(4096, 0), BLOCK)
        handle.shutdown()

    def connect_when_allowed(self):
        """Connections count against the export's limit until their requests in flight have ended."""
        for _ in range(200):
            try:
                return self.server.connect("vm")
            except nbd.Error as error:
                self.assertIn("policy", str(error))
                time.sleep(0.01)
        raise AssertionError("vanished clients keep their places")

    def test_content_afterwards(self):
        handle = self.server.connect("vm", strict=False)
        self.refused(handle, (errno.ENOSPC, errno.EINVAL), "pwrite", b"x" * 8192, SIZE - 4096)
        self.assertEqual(handle.pread(4096, SIZE - 4096), bytes(4096))
        handle.shutdown()
        self.server.stop()
        mica("check", self.path("vm.mica"))


if __name__ == "__main__":
    harness.main()
