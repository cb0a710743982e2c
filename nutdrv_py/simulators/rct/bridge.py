# SPDX-License-Identifier: GPL-2.0-or-later
"""The network module of the simulated inverter: a bridge between one serial line and all clients."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from nutdrv_py.protocols.rct.frame import EXTENSION, Command, Frame, read_request
from nutdrv_py.protocols.rct.reader import FrameReader
from nutdrv_py.simulators.loopback import bound_socket, check_loopback
from nutdrv_py.simulators.rct.wire import Line, Wire

UNREAD_MOST = 1 << 20
"""Bytes that a client may leave unread before its connection is closed."""

RECENT_BYTES = 64
"""How much of what a client sent before is kept, to see how a request was written: more than any request is long."""


class Client(asyncio.Protocol):
    """One connection."""

    def __init__(self, bridge: Bridge) -> None:
        self.reader = FrameReader()
        self.greeted = False
        self.recent = b""
        self.transport: asyncio.Transport | None = None
        self._bridge = bridge

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection up, unless the inverter has gone in the meantime."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self not in self._bridge.clients:
            self.close()

    def data_received(self, data: bytes) -> None:
        """Pass on what the client sent."""
        self.recent = self.recent[-RECENT_BYTES:] + data
        self.greeted = self.greeted or EXTENSION in self.recent
        self._bridge.received(self, self.reader.feed(data))

    def connection_lost(self, error: Exception | None) -> None:
        """Forget the connection."""
        self._bridge.forget(self)

    def close(self) -> None:
        """End the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def send(self, data: bytes) -> None:
        """Put bytes on their way; a client that reads nothing for long loses its connection."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.transport.get_write_buffer_size() > UNREAD_MOST:
            self.close()
            return
        self.transport.write(data)

    def understood(self, frame: Frame, line: Line) -> bool:
        """Return whether the inverter understands what the client sent last, with or without escapes in its CRC."""
        if line.needs_extension and not self.greeted:
            return False
        if not line.escape_crc_only or frame.command is not Command.READ:
            return True
        escaped, raw = read_request(frame.oid), read_request(frame.oid, raw_crc=True)
        # A raw one can be the beginning of the escaped one, at the same place.
        return escaped == raw or self.recent.rfind(escaped) < self.recent.rfind(raw)


class Bridge:
    """The port. What a client sends goes to ``received``, what the inverter sends to every client."""

    def __init__(self, wire: Wire, received: Callable[[Client, list[Frame]], None]) -> None:
        self.received = received
        self.clients: list[Client] = []
        self.address = ("127.0.0.1", 0)
        self._wire = wire
        self._arrivals: set[asyncio.Task[None]] = set()
        self._placeholder: socket.socket | None = None
        self._listening: socket.socket | None = None

    def bind(self, host: str, port: int) -> None:
        """Take this loopback address, without listening; port 0 takes a free one."""
        if self._placeholder is not None:
            raise RuntimeError("The simulator is running already.")
        check_loopback(host)
        # Bound but not listening, so that the port stays ours while the inverter is away.
        self._placeholder = bound_socket(host, port)
        self.address = (host, self._placeholder.getsockname()[1])

    def listen(self) -> None:
        """Accept connections, once the address is taken."""
        if self._placeholder is None or self._listening is not None:
            return
        listening = bound_socket(*self.address)
        listening.listen(128)
        listening.setblocking(False)
        self._listening = listening
        asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def hang_up(self) -> None:
        """Close all connections and accept no more."""
        if self._listening is not None:
            asyncio.get_running_loop().remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        for client in tuple(self.clients):
            client.close()
        self.clients.clear()

    async def release(self) -> None:
        """Give the address back; doing so twice is fine."""
        self.hang_up()
        # A client that has just arrived is turned away, and the loop closes the sockets in its next round.
        await asyncio.gather(*self._arrivals)
        await asyncio.sleep(0)
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None

    def broadcast(self, data: bytes) -> None:
        """Put raw bytes on the line, to all clients, now."""
        for client in tuple(self.clients):
            if client.greeted or not self._wire.line.needs_extension:
                client.send(data)

    def forget(self, client: Client) -> None:
        """Forget a connection that has ended."""
        if client in self.clients:
            self.clients.remove(client)

    def _accept(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except OSError:  # gone again
            return
        connection.setblocking(False)
        client = Client(self)
        if len(self.clients) >= self._wire.line.max_clients:
            connection.close()
            return
        # Counted from now on: the loop takes the connection up in its next round.
        self.clients.append(client)
        task = asyncio.get_running_loop().create_task(self._take_up(client, connection))
        self._arrivals.add(task)
        task.add_done_callback(self._arrivals.discard)

    async def _take_up(self, client: Client, connection: socket.socket) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: client, connection)
        except OSError:  # gone again
            self.forget(client)
            connection.close()
