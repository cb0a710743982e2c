# SPDX-License-Identifier: GPL-2.0-or-later
"""The HTTP server behind /metrics and the page: the standard library's, in threads, one per address and port.

What is shown is made in the event loop; a client that is slow, or hangs, holds up a thread and nothing else.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from nutdrv_py.errors import ConfigError
from nutdrv_py.log import debug, log

__all__ = ["Answer", "Route", "Web"]

IDLE = 10.0
"""Seconds a client may be silent."""

PATIENCE = 5.0
"""Seconds in which the event loop must have made an answer."""

MOST_CLIENTS = 32
"""Connections at once; more are closed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route answers. ``headers`` beside Content-Type and Content-Length."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = HTTPStatus.OK


Route = Callable[[Mapping[str, str]], Answer]
"""Makes an answer from the request's headers (names in lower case). Runs in the event loop and must return at once."""


class Web:
    """The servers of one process. Exporters add their routes before :meth:`start`; the same address and port is one server."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, int], dict[str, Route]] = {}
        self._servers: dict[tuple[str, int], _Server] = {}

    def add(self, address: str, port: int, path: str, route: Route) -> None:
        """Serve ``path`` there."""
        self._routes.setdefault((address, port), {})[path] = route

    async def start(self) -> None:
        """Listen. Raises :class:`ConfigError` when an address or port cannot be had."""
        loop = asyncio.get_running_loop()
        for place, routes in self._routes.items():
            if place in self._servers:
                continue
            try:
                self._servers[place] = server = _Server(place, routes, loop)
            except OSError as error:
                await self.stop()
                why = error.strerror or error
                raise ConfigError(
                    f"{place[0]} port {place[1]} cannot be listened on ({why}); choose another bind_port or bind_address"
                ) from error
            threading.Thread(target=server.serve_forever, name=f"web {place[1]}", daemon=True).start()

    def port(self, address: str, port: int) -> int:
        """The port that is listened on, where 0 was asked for."""
        return int(self._servers[address, port].server_address[1])

    async def stop(self) -> None:
        """Listen no more."""
        for server in self._servers.values():
            await asyncio.to_thread(server.shutdown)
            server.server_close()
        self._servers.clear()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, place: tuple[str, int], routes: Mapping[str, Route], loop: asyncio.AbstractEventLoop) -> None:
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        self.routes = routes
        self.loop = loop
        self._room = threading.BoundedSemaphore(MOST_CLIENTS)
        super().__init__(place, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nobody's trouble."""
        log.log(debug(2), "web: a client has broken off", exc_info=True)

    def make(self, route: Route, headers: Mapping[str, str]) -> Answer:
        async def in_loop() -> Answer:
            return route(headers)

        work = in_loop()
        try:
            future = asyncio.run_coroutine_threadsafe(work, self.loop)
        except RuntimeError:
            # The loop has ended.
            work.close()
            raise
        return future.result(PATIENCE)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = IDLE
    protocol_version = "HTTP/1.1"
    server_version = "nutdrv_py"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        path = urlsplit(self.path).path
        route = self.server.routes.get(path)
        if route is None:
            known = " ".join(sorted(self.server.routes))
            text = f"There is no {path[:100]!a} here. There is: {known}\n"
            answer = Answer(text.encode(), "text/plain", status=HTTPStatus.NOT_FOUND)
        else:
            try:
                answer = self.server.make(route, {name.lower(): value for name, value in self.headers.items()})
            except (FutureTimeout, CancelledError, RuntimeError):
                answer = Answer(b"The driver is busy or ending.\n", "text/plain", status=HTTPStatus.SERVICE_UNAVAILABLE)
            except Exception as error:
                log.error("internal error: no answer for %s; please report this:", path, exc_info=error)
                answer = Answer(b"Internal error; see the log.\n", "text/plain", status=HTTPStatus.INTERNAL_SERVER_ERROR)
        self.send_response(answer.status)
        content_type = answer.content_type
        if content_type == "text/plain":
            content_type += "; charset=utf-8"
        headers = {
            "Content-Type": content_type, "Content-Length": str(len(answer.body)), "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff", **answer.headers,
        }  # fmt: skip
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:
        log.log(debug(3), "web: " + format, *args)
