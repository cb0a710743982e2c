# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway's port: TLS 1.2 at most, as on the gateway, one :class:`Fault` for each path, and times without any connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from nutdrv_py.simulators.enphase.faults import FAULTS, Fault
from nutdrv_py.simulators.enphase.http import HEAD_LIMIT, Exchange, Hangup, Refused, head, read_request
from nutdrv_py.simulators.enphase.messages import Answer, Incoming
from nutdrv_py.simulators.loopback import bound_socket, check_loopback


@dataclass(slots=True, eq=False)
class Listener:
    """The listening side: handles requests with ``handle``, asks ``fault_for`` for faults, reports with ``note``.

    ``gateway_time`` gives the Date header its seconds since the epoch.
    """

    handle: Callable[[Incoming], Answer]
    fault_for: Callable[[str], Fault | None]
    note: Callable[[str, str, int], None]
    gateway_time: Callable[[], float]
    most_parallel: int = 0
    _in_flight: int = 0
    _context: ssl.SSLContext | None = None
    _address: tuple[str, int] = ("127.0.0.1", 0)
    _placeholder: socket.socket | None = None
    _server: asyncio.Server | None = None
    _socket: socket.socket | None = None
    _opening: asyncio.Task[None] | None = None
    _connections: dict[asyncio.StreamWriter, asyncio.Task[None]] = field(default_factory=dict)

    @property
    def port(self) -> int:
        """Return the port number, also while nothing listens on it."""
        return self._address[1]

    @property
    def host(self) -> str:
        """Return the address the port is on."""
        return self._address[0]

    def reserve(self, host: str, port: int) -> None:
        """Bind the port without listening on it, so that it stays ours while the gateway is away."""
        check_loopback(host)
        self._placeholder = bound_socket(host, port)
        self._address = (host, self._placeholder.getsockname()[1])

    def use_certificate(self, certificate: str, key: str) -> None:
        """Use this certificate for connections from now on."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        # Without resumption every connection shows the certificate that is in use now.
        context.options |= ssl.OP_NO_TICKET
        context.load_cert_chain(certificate, key)
        self._context = context

    def listen(self) -> None:
        """Accept connections. The socket listens at once; the loop takes the connections up in its next round."""
        if self._socket is not None or self._context is None:
            return
        self._socket = bound_socket(*self._address)
        self._socket.listen(128)
        self._socket.setblocking(False)
        self._opening = asyncio.get_running_loop().create_task(self._take_up(self._socket, self._context))

    async def _take_up(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        if self._socket is not listening:  # closed again in the meantime
            listening.close()
            return
        # Nothing is awaited for real before the server is known to close(), which ends it from then on.
        server = await asyncio.start_server(self._serve, sock=listening, ssl=context, limit=HEAD_LIMIT, start_serving=False)
        self._server = server
        await server.start_serving()

    def close(self) -> None:
        """Refuse new connections and end the present ones."""
        listening, self._socket = self._socket, None
        if self._server is not None:
            self._server.close()
            self._server = None
        elif listening is not None:
            # The loop has not taken it up yet: stop it now, _take_up() closes it when it comes to it.
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
        self.drop_connections()

    def drop_connections(self) -> None:
        """End all connections, also those in the middle of an answer."""
        for writer, task in self._connections.items():
            writer.transport.abort()
            task.cancel()

    async def stop(self) -> None:
        """Close for good and give the port back."""
        tasks = list(self._connections.values())
        self.close()
        if self._placeholder is not None:
            self._placeholder.close()
            self._placeholder = None
        if self._opening is not None:
            await self._opening
        if tasks:
            await asyncio.wait(tasks, timeout=2)
        # Lets the transports run their closing callbacks before the loop goes away.
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if self._socket is None or task is None:  # accepted in the moment of closing
            writer.transport.abort()
            return
        self._connections[writer] = task
        try:
            while await self._exchange(reader, writer):
                pass
        except (Hangup, OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            # CancelledError comes only from drop_connections(): no other code has this task.
            pass
        finally:
            del self._connections[writer]
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection stays open."""
        try:
            request = await read_request(reader)
        except Refused as refused:
            writer.write(head(Answer(refused.status), self.gateway_time(), keep=False))
            await writer.drain()
            return False
        exchange = Exchange(writer, request, self.handle, self.gateway_time)
        self._in_flight += 1
        self.most_parallel = max(self.most_parallel, self._in_flight)
        try:
            fault = self.fault_for(request.path)
            if fault is None:
                await exchange.send_answer(self.handle(request))
            else:
                await FAULTS[fault.kind](exchange, fault)
        finally:
            self._in_flight -= 1
            self.note(request.method, request.path, exchange.status)
        return exchange.keep
