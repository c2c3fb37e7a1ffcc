# SPDX-License-Identifier: Apache-2.0
"""A reconnecting NBD client as a relay: whatever client is behind it survives that the server goes and comes back.

Clients connect to the relay's unix socket and never lose it; for each of them the relay has a connection of its own
to the server. When that ends, it waits for the next server, which must have the same disk, and looks at the blocks
that were written: what an acknowledged flush covers must be there, every other block must have one of the contents
that were sent since, and after a clean stop everything acknowledged must be there. Then it does what a client has
to do that goes on after a crash: it writes again what was acknowledged but not flushed, and asks again what was
not answered.

Speaks simple replies and refuses all options but GO, INFO, EXPORT_NAME and ABORT, which clients have to take.
Clients write whole blocks, each block through one connection at a time.
"""

import collections
import contextlib
import random
import selectors
import socket
import struct
import threading
import time

BLOCK = 4096
REQUEST, REPLY = 0x25609513, 0x67446698
READ, WRITE, DISCONNECT, FLUSH = 0, 1, 2, 3
FUA, ESHUTDOWN = 1, 108
EXPORT_NAME, ABORT, INFO, GO = 1, 2, 6, 7
ACK, INFO_REPLY, UNSUPPORTED = 1, 3, 0x80000001
UNWRITTEN = bytes(BLOCK)  # the disk is empty when the relay is made
PATIENCE_SECONDS = 60
SAMPLE = 64  # blocks without a later write that are looked at after a crash


class Gone(Exception):
    """The peer has closed the connection."""


def receive(peer, count):
    data = bytearray()
    while len(data) < count:
        try:
            part = peer.recv(count - len(data))
        except OSError:
            part = b""
        if not part:
            raise Gone
        data += part
    return bytes(data)


def send(peer, data):
    try:
        peer.sendall(data)
    except OSError as error:
        raise Gone from error


class Request:
    def __init__(self, header, data=b""):
        _, self.flags, self.command, self.cookie, self.offset, self.length = struct.unpack(">IHHQQI", header)
        self.header, self.data = header, data
        self.covers = 0  # of a flush: how many writes had been acknowledged when it was sent

    @classmethod
    def read(cls, block):
        return cls(struct.pack(">IHHQQI", REQUEST, 0, READ, 1, block * BLOCK, BLOCK))

    @classmethod
    def flush(cls):
        return cls(struct.pack(">IHHQQI", REQUEST, 0, FLUSH, 1, 0, 0))

    def blocks(self):
        for at in range(0, len(self.data), BLOCK):
            yield (self.offset + at) // BLOCK, self.data[at:at + BLOCK]


class Memory:
    """What a client may rely on: contents by block, as far as flushes cover them and after that."""

    def __init__(self, durable):
        self.durable = durable
        self.own = set()  # of its blocks those that this client has written
        self.unflushed = collections.deque()  # acknowledged writes, in that order
        self.covered = 0  # writes that have left `unflushed`

    def sent(self, request):
        if request.command == FLUSH:
            request.covers = self.covered + len(self.unflushed)

    def answered(self, request):
        if request.command == WRITE:
            self.unflushed.append(request)
            self.own.update(block for block, _ in request.blocks())
            if request.flags & FUA:
                self.durable.update(request.blocks())
        elif request.command == FLUSH:
            while self.covered < request.covers:
                self.durable.update(self.unflushed.popleft().blocks())
                self.covered += 1

    def allowed(self, pending, clean):
        """block -> the contents it may have, of the blocks for which that is not only the durable one."""
        allowed = {}
        for write in self.unflushed:
            for block, content in write.blocks():
                if clean or write.flags & FUA:
                    allowed[block] = [content]
                else:
                    allowed.setdefault(block, [self.durable.get(block, UNWRITTEN)]).append(content)
        for request in pending:
            if request.command == WRITE:
                for block, content in request.blocks():
                    allowed.setdefault(block, [self.durable.get(block, UNWRITTEN)]).append(content)
        return allowed


class Link(threading.Thread):
    """One client, and the relay's connection for it."""

    def __init__(self, relay, client, seed):
        super().__init__(daemon=True)
        self.relay, self.client, self.server = relay, client, None
        self.random = random.Random(seed)
        self.memory = Memory(relay.durable)
        self.pending = collections.OrderedDict()  # cookie -> request without an answer
        self.generation = None
        self.disk = None

    def run(self):
        try:
            self.connect()
            try:
                self.negotiate()
                self.serve()
            finally:
                self.flush()
        except Gone:
            pass  # the client has left
        except BaseException as error:  # whatever it is: the test has failed
            self.relay.errors.append(error)
        finally:
            for peer in (self.client, self.server):
                if peer is not None:
                    peer.close()

    def serve(self):
        while True:
            with selectors.DefaultSelector() as ready:
                ready.register(self.client, selectors.EVENT_READ)
                ready.register(self.server, selectors.EVENT_READ)
                try:
                    while True:
                        for key, _ in ready.select():
                            if key.fileobj is self.client:
                                self.pass_request()
                            else:
                                self.pass_reply()
                except ServerGone:
                    pass
            self.reconnect()

    # The client's side.

    def negotiate(self):
        size, flags = self.disk
        send(self.client, b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
        no_zeroes = struct.unpack(">I", receive(self.client, 4))[0] & 2
        while True:
            magic, option, length = struct.unpack(">8sII", receive(self.client, 16))
            assert magic == b"IHAVEOPT"
            receive(self.client, length)
            if option == EXPORT_NAME:
                send(self.client, struct.pack(">QH", size, flags) + (b"" if no_zeroes else bytes(124)))
                return
            if option in (INFO, GO):
                self.reply_option(option, INFO_REPLY, struct.pack(">HQH", 0, size, flags))
            self.reply_option(option, ACK if option in (INFO, GO, ABORT) else UNSUPPORTED)
            if option == ABORT:
                raise Gone
            if option == GO:
                return

    def reply_option(self, option, kind, data=b""):
        send(self.client, struct.pack(">QIII", 0x3e889045565a9, option, kind, len(data)) + data)

    def pass_request(self):
        header = receive(self.client, 28)
        request = Request(header)
        if request.command == WRITE:
            request.data = receive(self.client, request.length)
        if request.command == DISCONNECT:
            raise Gone
        self.memory.sent(request)
        self.pending[request.cookie] = request
        self.to_server(request)

    # The server's side.

    def to_server(self, request):
        try:
            send(self.server, request.header + request.data)
        except Gone as error:
            raise ServerGone from error

    def from_server(self, count):
        try:
            return receive(self.server, count)
        except Gone as error:
            raise ServerGone from error

    def pass_reply(self):
        header = self.from_server(16)
        magic, error, cookie = struct.unpack(">IIQ", header)
        assert magic == REPLY, header
        request = self.pending[cookie]
        if error == ESHUTDOWN:
            return  # the next server will do it
        if error:
            raise AssertionError(f"command {request.command} at {request.offset} failed with {error}")
        data = self.from_server(request.length) if request.command == READ else b""
        del self.pending[cookie]
        self.memory.answered(request)
        if request.command == FLUSH:
            self.relay.flushes += 1
        send(self.client, header + data)

    def ask(self, request):
        self.to_server(request)
        magic, error, cookie = struct.unpack(">IIQ", self.from_server(16))
        if error == ESHUTDOWN:
            raise ServerGone
        assert (magic, error, cookie) == (REPLY, 0, request.cookie), (magic, error, cookie)
        return self.from_server(request.length) if request.command == READ else b""

    def flush(self):
        """What the client has left behind, so that the next one finds a disk of which everything is known."""
        self.pending.clear()
        while self.memory.unflushed:
            try:
                request = Request.flush()
                self.memory.sent(request)
                self.ask(request)
                self.memory.answered(request)
            except ServerGone:
                self.reconnect()

    def connect(self):
        """To a server, whichever there is; waits for one."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            generation = self.relay.generation
            try:
                self.server = socket.socket(socket.AF_UNIX)
                self.server.connect(self.relay.server_path)
                receive(self.server, 18)
                name = self.relay.export.encode()
                send(self.server, struct.pack(">I8sII", 3, b"IHAVEOPT", EXPORT_NAME, len(name)) + name)
                disk = struct.unpack(">QH", receive(self.server, 10))
                if generation == self.relay.generation:
                    break
            except (OSError, Gone):
                pass
            self.server.close()
            if time.monotonic() > give_up:
                raise AssertionError(f"no server after {PATIENCE_SECONDS} s")
            time.sleep(0.01)
        if self.disk not in (None, disk):
            raise AssertionError(f"another disk: {disk} instead of {self.disk}")
        self.disk, self.generation = disk, generation

    def reconnect(self):
        self.relay.reconnects += 1
        clean = self.relay.ends.get(self.generation) == "clean"
        while True:
            self.server.close()
            self.connect()
            with contextlib.suppress(ServerGone):
                self.check(clean)
                # From here on the disk may be any mixture of before and after.
                clean = False
                for write in self.memory.unflushed:
                    self.ask(write)
                for request in self.pending.values():
                    self.to_server(request)
                return

    def check(self, clean):
        allowed = self.memory.allowed(self.pending.values(), clean)
        for block, contents in allowed.items():
            if self.ask(Request.read(block)) not in contents:
                raise AssertionError(f"block {block} has none of the {len(contents)} contents that it may have after a "
                                     f"{'stop' if clean else 'crash'}")
        others = sorted(self.memory.own - set(allowed))
        for block in self.random.sample(others, min(len(others), SAMPLE)):
            if self.ask(Request.read(block)) != self.memory.durable[block]:
                raise AssertionError(f"block {block} does not have what an acknowledged flush covers")


class ServerGone(Exception):
    """The server has closed the connection."""


class Relay:
    """Listens at `path` for clients of one export of the server at `server_path`."""

    def __init__(self, path, server_path, export, seed):
        self.server_path, self.export, self.seed = server_path, export, seed
        self.path = path
        self.generation = 0  # of the server; whoever starts one counts first
        self.ends = {}  # generation -> "clean" when it was told to stop; else it was killed
        self.errors, self.flushes, self.reconnects = [], 0, 0
        self.links = []
        self.durable = {}  # block -> content, of all clients that there ever were
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def uri(self):
        return f"nbd+unix:///{self.export}?socket={self.path}"

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            link = Link(self, client, self.seed + len(self.links))
            link.start()
            self.links.append(link)

    def close(self):
        self.listener.close()
