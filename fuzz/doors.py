# SPDX-License-Identifier: GPL-2.0-or-later
"""Doors that local users and the network can knock at: the driver's socket and the web server."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fuzz.invariants import bounded, harmless, heard
from nutdrv_py.clock import Clock
from nutdrv_py.core.driver import Driver
from nutdrv_py.core.events import Polled
from nutdrv_py.core.reload import Reload
from nutdrv_py.core.requests import Requests
from nutdrv_py.core.settings import Settings
from nutdrv_py.device.backend import Backend, Config, Writable
from nutdrv_py.device.reading import Decline, Reading, Status, Value
from nutdrv_py.exporters import web
from nutdrv_py.machine.paths import Paths
from nutdrv_py.nut.messages import parse_message
from nutdrv_py.nut.parseconf import BadLine, Reader
from nutdrv_py.process.server import Server

__all__ = ["requests", "web_request"]

MOST_ANSWERED = 1 << 20
"""Bytes that one client may be answered, at most; the dump of this device has 1 kB."""


class _Device(Backend[Config]):
    """A device with something to set and to do."""

    @property
    def commands(self) -> frozenset[str]:
        return frozenset({"test.battery.start"})

    @property
    def writable(self) -> Mapping[str, Writable]:
        low, mode = Writable(ranges=((1, 99),)), Writable(enum=("a", "b"))
        return {"battery.charge.low": low, "ups.id": Writable(maxlen=16), "ups.mode": mode}

    async def poll(self) -> Reading:
        values: dict[str, Value] = {"battery.charge": 80.0, "battery.charge.low": 20, "ups.id": "x", "ups.mode": "a"}
        return Reading(values, Status.OL, decline=Decline(load=500.0, capacity=5000.0))

    async def set(self, name: str, value: str) -> None:
        assert name in self.writable
        self.writable[name].check(value)

    async def command(self, name: str, param: str | None) -> None:
        assert name in self.commands


class _House:
    """A driver and its socket, kept for all inputs; ``file``: whether it has a configuration file to reload."""

    def __init__(self, *, file: bool = True) -> None:
        self.loop = asyncio.new_event_loop()
        config = Config(port="x", ups="u", pollinterval=5, maxage=3600)
        settings = Settings("u", "nutdrv_py", "device", _Device, config, Paths(*[None] * 4))  # type: ignore[arg-type]
        clock = Clock()
        self.driver = Driver(settings, _Device(config, clock), clock)
        self.path = Path(tempfile.mkdtemp(prefix="fuzz-socket-")) / "u"
        reload = Reload(self.driver, (lambda: settings) if file else None)
        self.server = Server(self.driver, Requests(self.driver, reload), self.path)
        self.loop.run_until_complete(self.server.start())
        self.unheard: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda loop, context: self.unheard.append(context))

    async def ask(self, data: bytes) -> bytes:
        """Send ``data`` and PING behind it as a client that then ends, and return what is answered."""
        self.driver.apply(Polled(self.driver.clock.monotonic(), await self.driver.backend.poll()))
        reader, writer = await asyncio.open_unix_connection(str(self.path), limit=1 << 24)
        answer = bytearray()
        try:
            for at in range(0, len(data), 1000):
                writer.write(data[at : at + 1000])
            # Whether the input ends in quotes or not, one of these is read.
            writer.write(b'\n"\nPING\n"\nPING\n')
            writer.write_eof()
            while piece := await asyncio.wait_for(reader.read(1 << 16), 10):
                answer += piece
                bounded("what one client is answered", len(answer), MOST_ANSWERED)
        except ConnectionError:
            pass
        writer.close()
        return bytes(answer)


_houses: list[_House] = []


def requests(data: bytes) -> None:
    """Send bytes to the driver's socket: it goes on, answers only lines of the protocol, and changes nothing of the grid."""
    if not _houses:
        _houses.append(_House())
    house, lines = _houses[0], heard.lines
    said = bytes(byte for byte in data if 32 <= byte < 127).lower()
    if b"exit" in said:
        return
    answer = house.loop.run_until_complete(house.ask(data))
    assert not house.unheard, house.unheard.pop()
    bounded("lines of the log", heard.lines - lines, 40 + 40 * (data.count(b"\n") + 1))
    assert house.driver.snapshot.variables["ups.status"].value == "OL"
    assert b"PONG" in answer or b"logout" in said, answer[-200:]
    for line in Reader().feed(answer):
        assert not isinstance(line, BadLine) and parse_message(line.words) is not None, line
    house.loop.run_until_complete(_settled(house))


async def _settled(house: _House) -> None:
    for _ in range(200):
        if not house.server.clients:
            return
        await asyncio.sleep(0)


class _Request(io.BytesIO):
    """A connection that holds the whole request, and takes the answer."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.answer = bytearray()

    def makefile(self, mode: str, *more: Any) -> Any:
        return io.BufferedReader(io.BytesIO(self.getvalue())) if "r" in mode else io.BytesIO()

    def sendall(self, data: bytes) -> None:
        self.answer += data

    def settimeout(self, seconds: float | None) -> None:
        pass

    def setsockopt(self, *more: Any) -> None:
        pass


class _WebServer:
    """What the handler needs of its server."""

    def __init__(self) -> None:
        self.web = web.Web()
        self.web.add("127.0.0.1", 0, "/metrics", lambda headers: web.Answer(_BODY, "text/plain"))
        self.routes = next(iter(self.web._routes.values()))

    def make(self, route: web.Route, headers: Mapping[str, str]) -> web.Answer:
        return route(headers)


_BODY = b"the metrics of this house"
_web = _WebServer()
_BLANK = rb"[\s\xa0\x85\x1c-\x1f]*"
# A lone bracket is harmless: no browser sends one, and the name between is this machine's all the same.
_NAMES = rb"\[?(?:(?:[^\r\n]*\.)?localhost\.*|127\.[0-9.]+|[0:]*:0*1(?:%[^\r\n]*)?|::ffff:127[0-9a-f.:]+)\.*\]?(?::.*)?"
_FOLD = re.compile(rb"[\r\n]+[ \t]+")
_OWN = re.compile(rb"(?i)host:" + _BLANK + _NAMES + _BLANK)


def web_request(data: bytes) -> None:
    """Send a request to the web server of a loopback address: it answers, and its content only to this machine's own names."""
    headers, path = b"GET /metrics HTTP/1.1\r\n%s\r\n\r\n" % data, b"GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" % data
    for request in (data, headers, path):
        connection, lines = _Request(request), heard.lines
        with contextlib.suppress(ConnectionError, TimeoutError):
            web._Handler(connection, ("127.0.0.1", 1), _web)  # type: ignore[arg-type]
        answer = bytes(connection.answer)
        bounded("the answer", len(answer), 4096 + 8 * len(request))
        bounded("lines of the log", heard.lines - lines, request.count(b"\n") + 2)
        harmless(answer)
        if answer.startswith(b"HTTP/"):
            head = answer.partition(b"\r\n\r\n")[0]
            assert all(re.fullmatch(rb"[\t -~\x80-\xff]*", line) for line in head.split(b"\r\n")), head
        if _BODY in answer:
            # A header may go on in the next line, behind a blank.
            lines_of = re.split(rb"[\r\n]+", request) + re.split(rb"[\r\n]+", _FOLD.sub(b" ", request))
            own = any(_OWN.fullmatch(line) for line in lines_of)
            assert own, f"the content goes to another name: {request[:200]!a}"
