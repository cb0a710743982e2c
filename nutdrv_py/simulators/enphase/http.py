# SPDX-License-Identifier: GPL-2.0-or-later
"""A small HTTP/1.1 server over TLS that can also misbehave on purpose.

It keeps connections alive, answers with a content length, and applies one :class:`Fault` per path. It speaks TLS 1.2 at
most, as the gateway does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from urllib.parse import parse_qs, unquote, urlsplit

from nutdrv_py.simulators.enphase.faults import Fault
from nutdrv_py.simulators.enphase.messages import REASONS, SERVER_NAME, Answer, Incoming, status_answer
from nutdrv_py.simulators.loopback import bound_socket, check_loopback

HEAD_LIMIT = 32 * 1024
"""Longest request head, bytes: a token is under 1 kB and cookies are short, so more than this is a mistake."""

BODY_LIMIT = 64 * 1024
"""Longest request body, bytes: the largest real one is a login form of some hundred bytes."""

IDLE_SECONDS = 75.0
"""A kept-alive connection is closed after this time without a request, as common web servers do."""

FOREVER = 3600.0
"""What "hang" means when no time is given: longer than any client waits."""


class _Hangup(Exception):
    """The connection ends now, without the rest of the answer."""


@dataclass(slots=True, eq=False)
class _Connection:
    """One client connection and the task that serves it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    task: asyncio.Task[None] | None = None
    sent_status: int = 0

    def abort(self, *, reset: bool = False) -> None:
        """End the connection at once; with ``reset`` the peer gets a RST."""
        if reset:
            raw = self.writer.get_extra_info("socket")
            with contextlib.suppress(OSError, AttributeError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


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
    _connections: set[_Connection] = field(default_factory=set)

    @property
    def port(self) -> int:
        """Return the port number, also while nothing listens on it."""
        return self._address[1]

    @property
    def host(self) -> str:
        """Return the address the port is on."""
        return self._address[0]

    @property
    def open(self) -> bool:
        """Return whether connections are accepted."""
        return self._socket is not None

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
        for connection in tuple(self._connections):
            connection.abort()
            if connection.task is not None:
                connection.task.cancel()

    async def stop(self) -> None:
        """Close for good and give the port back."""
        tasks = [connection.task for connection in self._connections if connection.task is not None]
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
        connection = _Connection(reader, writer, asyncio.current_task())
        if self._socket is None:  # accepted in the moment of closing
            connection.abort()
            return
        self._connections.add(connection)
        try:
            while await self._exchange(connection):
                pass
        except (_Hangup, OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
            # CancelledError comes only from drop_connections(): no other code has this task.
            pass
        finally:
            self._connections.discard(connection)
            with contextlib.suppress(OSError, RuntimeError):
                writer.close()

    async def _exchange(self, connection: _Connection) -> bool:
        """Serve one request; return whether the connection stays open."""
        try:
            head = await asyncio.wait_for(connection.reader.readuntil(b"\r\n\r\n"), IDLE_SECONDS)
        except asyncio.LimitOverrunError:
            await connection.send(_head(Answer(413), self.gateway_time(), keep=False))
            return False
        try:
            method, target, headers = _parse_head(head)
            length = int(headers.get("content-length", "0"))
        except ValueError:
            await connection.send(_head(Answer(400), self.gateway_time(), keep=False))
            return False
        if "transfer-encoding" in headers or not 0 <= length <= BODY_LIMIT:
            status = 411 if "transfer-encoding" in headers else 413
            await connection.send(_head(Answer(status), self.gateway_time(), keep=False))
            return False
        body = await connection.reader.readexactly(length)
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        request = Incoming(method, unquote(parts.path), query, headers, body)
        keep = headers.get("connection", "").lower() != "close"
        self._in_flight += 1
        self.most_parallel = max(self.most_parallel, self._in_flight)
        connection.sent_status = 0
        try:
            fault = self.fault_for(request.path)
            apply = _FAULTS[fault.kind] if fault is not None else None
            if apply is None or fault is None:
                await self._answer(connection, self.handle(request), keep)
            else:
                await apply(self, connection, request, fault, keep)
        finally:
            self._in_flight -= 1
            self.note(request.method, request.path, connection.sent_status)
        return keep

    async def _answer(self, connection: _Connection, answer: Answer, keep: bool) -> None:
        connection.sent_status = answer.status
        await connection.send(_head(answer, self.gateway_time(), keep=keep) + answer.body)

    # -- faults: one method for each kind ----------------------------------------------------------------------------

    async def _refuse(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        raise _Hangup

    async def _reset(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        connection.abort(reset=True)
        raise _Hangup

    async def _hang(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        await asyncio.sleep(fault.seconds or FOREVER)
        raise _Hangup

    async def _hang_after_headers(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        await self._headers_only(connection, request, keep)
        await self._hang(connection, request, fault, keep)

    async def _headers_only(self, connection: _Connection, request: Incoming, keep: bool) -> Answer:
        answer = self.handle(request)
        connection.sent_status = answer.status
        await connection.send(_head(answer, self.gateway_time(), keep=keep))
        return answer

    async def _drip(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        answer = await self._headers_only(connection, request, keep)
        for place in range(len(answer.body)):
            await asyncio.sleep(fault.seconds)
            await connection.send(answer.body[place : place + 1])

    async def _truncated(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        answer = await self._headers_only(connection, request, keep)
        await connection.send(answer.body[: len(answer.body) // 2])
        raise _Hangup

    async def _truncated_chunk(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        answer = self.handle(request)
        connection.sent_status = answer.status
        half = answer.body[: len(answer.body) // 2]
        head = _head(answer, self.gateway_time(), keep=keep, chunked=True)
        await connection.send(head + f"{len(answer.body):x}\r\n".encode() + half)
        raise _Hangup

    async def _html(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        page = fault.body or "<!DOCTYPE html>\n<html><head><title>Gateway</title></head><body>Please wait</body></html>"
        await self._answer(connection, Answer(200, page.encode(), "text/html"), keep)

    async def _wrong_json(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        text = fault.body or '{"unexpected": ["answer", null, -0]}'
        await self._answer(connection, Answer(200, text.encode()), keep)

    async def _empty(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        await self._answer(connection, Answer(200), keep)

    async def _status(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        await self._answer(connection, status_answer(fault.status, fault.body), keep)

    async def _delay(self, connection: _Connection, request: Incoming, fault: Fault, keep: bool) -> None:
        await asyncio.sleep(fault.seconds)
        await self._answer(connection, self.handle(request), keep)


_FaultMethod = Callable[[Listener, _Connection, Incoming, Fault, bool], Awaitable[None]]

_FAULTS: Mapping[str, _FaultMethod] = {
    "refuse": Listener._refuse,
    "reset": Listener._reset,
    "hang": Listener._hang,
    "hang-after-headers": Listener._hang_after_headers,
    "drip": Listener._drip,
    "truncated": Listener._truncated,
    "truncated-chunk": Listener._truncated_chunk,
    "html": Listener._html,
    "wrong-json": Listener._wrong_json,
    "empty": Listener._empty,
    "status": Listener._status,
    "delay": Listener._delay,
}


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    method, target, version = lines[0].split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(version)
    pairs = (line.partition(":") for line in lines[1:] if line)
    return method, target, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _http_date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True)


def _head(answer: Answer, seconds: float, *, keep: bool, chunked: bool = False) -> bytes:
    length = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(answer.body)))
    headers = [
        ("Server", SERVER_NAME),
        ("Date", _http_date(seconds)),
        ("Content-Type", answer.content_type),
        length,
        ("Connection", "keep-alive" if keep else "close"),
        *answer.headers,
    ]
    lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
