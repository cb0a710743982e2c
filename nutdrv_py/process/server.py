# SPDX-License-Identifier: GPL-2.0-or-later
"""The driver's unix socket: bytes between upsd (and other clients) and :mod:`nutdrv_py.nut.connection`.

Nothing here waits for the device or for a client: PING is answered at once whatever the backend does, and a client
that does not read is cut off at :data:`MAX_BACKLOG` while the others are served.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import socket
import struct
from collections import Counter
from pathlib import Path
from typing import cast

from nutdrv_py import log
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.requests import Requests
from nutdrv_py.errors import Result, StartError
from nutdrv_py.machine.files import remove
from nutdrv_py.machine.place import place
from nutdrv_py.nut.connection import Connection, answer, encode
from nutdrv_py.nut.messages import DumpAll, InstCmd, Logout, Request, Set, Tracking, Unknown
from nutdrv_py.nut.snapshot import Snapshot, diff, dump

__all__ = ["MAX_BACKLOG", "MAX_CLIENTS", "Server", "bind"]

MAX_BACKLOG = 1 << 20
"""Bytes a client may leave unread, then it is cut off. A large dump is 40 kB; a reader may pause for minutes."""

MAX_CLIENTS = 128
"""Clients at once. upsd needs one; the limit keeps file descriptors for the device. See :meth:`Server.join` for one more."""

MAX_READ = 4096
"""Bytes taken from one client at a time, so that a flood from one leaves time for the others."""

MAX_UNKNOWN = 10
"""Lines of one client that no rule fits and that are logged; the rest only for debugging."""

MAX_PENDING = 32
"""SET and INSTCMD of one client that may wait for the device; more are answered FAILED at once."""

_SUN_PATH = 108  # struct sockaddr_un on Linux, NUL included


def bind(path: Path, group: int | None = None) -> socket.socket:
    """Return a listening socket at ``path``, mode 0660, replacing what stood there.

    ``group`` is the id of the group to own it. Raises :class:`StartError` with what to do when it cannot be made.
    """
    length = len(os.fsencode(path)) + 1
    if length > _SUN_PATH:
        raise StartError(
            f"Can't create a unix domain socket: pathname '{path}' is too long ({length - 1}) for "
            f"'struct sockaddr_un->sun_path' on this system ({_SUN_PATH}); shorten the section's name or statepath"
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        remove(path)
        # The mode by the umask: a chmod would follow what another user of the folder puts there in the meantime.
        old = os.umask(0o117)
        try:
            sock.bind(os.fspath(path))
        finally:
            os.umask(old)
        sock.listen(16)
    except OSError as error:
        sock.close()
        raise StartError(
            f"Fatal error: unable to create listener socket\n\nbind {path} failed: {error.strerror}\n"
            f"Is {path.parent} there and may this user write to it? Type: ls -ld {path.parent}; id"
        ) from error
    if group is not None:
        try:
            with place(path, follow=False) as at:
                at.give(group)
        except OSError as error:
            log.log.warning(
                "WARNING: Needed to fix group access to filesystem socket of this driver, but failed; "
                "upsd may not be able to connect to %s: %s", path, error.strerror,
            )  # fmt: skip
    return sock


class Server:
    """Serves a driver's snapshot on its socket; at the end the socket file is removed only if it is still ours."""

    def __init__(self, driver: Driver, requests: Requests, path: Path) -> None:
        self._driver = driver
        self._requests = requests
        self._path = path
        self._clients: set[_Client] = set()
        self._server: asyncio.AbstractServer | None = None
        self._identity: tuple[int, int] | None = None
        self._dumped: tuple[Snapshot, bytes] | None = None
        driver.subscribe(self._changed)

    async def start(self, group: int | None = None) -> None:
        """Listen; raises :class:`StartError`."""
        sock = bind(self._path, group)
        found = self._path.lstat()
        self._identity = (found.st_dev, found.st_ino)
        client = functools.partial(_Client, self, self._driver, self._requests)
        self._server = await asyncio.get_running_loop().create_unix_server(client, sock=sock)
        if "NUT_QUIET_INIT_LISTENER" not in os.environ:
            log.log.info("Listening on socket %s", self._path)

    async def stop(self) -> None:
        """Remove the socket file if it is still ours, let the clients have what was written, close."""
        if self._identity is not None:
            with contextlib.suppress(OSError):
                found = self._path.lstat()
                if (found.st_dev, found.st_ino) == self._identity:
                    remove(self._path)
        if self._server is not None:
            self._server.close()
        for client in list(self._clients):
            client.close()
        # One turn for TRACKING answers that were promised, one for the transports to close.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    @property
    def clients(self) -> int:
        """Return the number of connections now."""
        return len(self._clients)

    def dump(self) -> bytes:
        """Return the answer to DUMPALL, made once per snapshot."""
        snapshot = self._driver.snapshot
        if self._dumped is None or self._dumped[0] is not snapshot:
            self._dumped = snapshot, encode(dump(snapshot))
        return self._dumped[1]

    def join(self, client: _Client) -> bool:
        """Take in a new client; return False when there are too many.

        One that is too many takes the place of the client that was silent for longest, among those of the process which has
        the most: so upsd, which has one connection and sends PING, always gets in and is not driven out.
        """
        if len(self._clients) >= MAX_CLIENTS:
            counts = Counter(one.process for one in self._clients)
            most = max(counts.values())
            if counts[client.process] == most:
                return False
            log.log.warning("More than %d clients on the driver's socket; the most silent one has to go", MAX_CLIENTS)
            min((one for one in self._clients if counts[one.process] == most), key=lambda one: one.heard).abort()
        self._clients.add(client)
        return True

    @property
    def now(self) -> float:
        """Return monotonic time."""
        return self._driver.clock.monotonic()

    def leave(self, client: _Client) -> None:
        """Forget a client that has gone."""
        self._clients.discard(client)

    def _changed(self, old: Snapshot, new: Snapshot) -> None:
        data = encode(diff(old, new))
        if data:
            for client in list(self._clients):
                client.broadcast(data)


class _Client(asyncio.BufferedProtocol):
    def __init__(self, server: Server, driver: Driver, requests: Requests) -> None:
        self._server = server
        self._driver = driver
        self._requests = requests
        self._connection = Connection()
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._buffer = bytearray(MAX_READ)
        self._unknown = 0
        self.process = -id(self)
        """Number of the process on the other side; one of its own where the kernel does not report it (another namespace)."""
        self.heard = server.now
        """Monotonic time of the last bytes from it."""

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.heard = self._server.now
        for request in self._connection.receive(bytes(self._buffer[:nbytes])):
            if self._transport is None or self._transport.is_closing():
                return
            log.log.log(log.debug(5), "< %s", type(request).__name__)
            self._handle(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        with contextlib.suppress(OSError, AttributeError, struct.error):
            found = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            self.process = struct.unpack("iII", found)[0] or self.process
        if not self._server.join(self):
            log.log.warning("More than %d clients on the driver's socket; the newest is refused", MAX_CLIENTS)
            self._transport.abort()
            self._transport = None
            return
        log.log.log(log.debug(1), "sock_connect: a client has come")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.leave(self)
        log.log.log(log.debug(1), "sock_disconnect: a client has gone")

    def _handle(self, request: Request) -> None:
        match request:
            case Set() | InstCmd():
                self._begin(request)
            case Unknown(words, reason):
                self._unknown += 1
                level = logging.INFO if self._unknown <= MAX_UNKNOWN else log.debug(3)
                log.log.log(level, "%s: ", reason)
                for position, word in enumerate(words):
                    log.log.log(level, "arg %d: %s", position, word)
            case DumpAll():
                self._write(self._server.dump())
            case _:
                data = encode(answer(request, self._driver.snapshot, os.getpid()))
                if data:
                    self._write(data)
                if isinstance(request, Logout):
                    self.close()

    def _begin(self, request: Set | InstCmd) -> None:
        if len(self._tasks) >= MAX_PENDING:
            self._reply(request.tracking, Result.FAILED)
            return
        task = asyncio.ensure_future(self._carry_out(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, request: Set | InstCmd) -> None:
        match request:
            case Set(name, value, _):
                result = await self._requests.set(name, value)
            case InstCmd(name, param, _):
                result = await self._requests.instcmd(name, param)
        self._reply(request.tracking, result)

    def _reply(self, tracking: str | None, result: Result) -> None:
        if tracking is not None:
            self._write(Tracking(tracking, int(result)).encode())

    def broadcast(self, data: bytes) -> None:
        if self._connection.broadcast:
            self._write(data)

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(data)
        backlog = self._transport.get_write_buffer_size()
        if backlog > MAX_BACKLOG:
            log.log.warning(
                "WARNING: send_to_all: a client left %d bytes unread (limit %d), disconnecting it", backlog, MAX_BACKLOG
            )
            self._transport.abort()

    def abort(self) -> None:
        self._server.leave(self)
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
