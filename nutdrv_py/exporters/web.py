# SPDX-License-Identifier: GPL-2.0-or-later
"""The HTTP server behind /metrics and the page: the standard library's, in threads, one per address and port.

What is shown is made in the event loop; a client that is slow, or hangs, holds up a thread and nothing else. On a loopback
address it answers only to this machine's own names: a web site whose name was made to lead here (DNS rebinding) gets nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from nutdrv_py.errors import ConfigError
from nutdrv_py.log import debug, log

__all__ = ["QUERY", "SAFE", "Answer", "Route", "Web", "loopback"]

LONGEST = 10.0
"""Seconds a connection may last, from the first byte of the question to the last one of the answer."""

PATIENCE = 5.0
"""Seconds in which the event loop must have made an answer."""

REST = 0.5
"""Seconds of rest after a connection that could not be taken."""

MOST_CLIENTS = 32
"""Connections at once; more are closed."""


SAFE: Mapping[str, str] = {
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Headers for what a browser may show: nothing is run, framed or used by another site."""


QUERY = ":query"
"""The name under which the request's headers hold what follows the question mark; no header can have it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a route answers. ``headers`` beside Content-Type and Content-Length."""

    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = HTTPStatus.OK
    compress: bool = False
    """Whether it may be compressed for a client that takes gzip."""


Route = Callable[[Mapping[str, str]], Answer]
"""Makes an answer from the request's headers (names in lower case), :data:`QUERY` among them. Runs in the event loop and must
return at once."""


class Web:
    """The servers of one process. Exporters add their routes before :meth:`start`; the same address and port is one server."""

    def __init__(self) -> None:
        self._routes: dict[tuple[str, int], dict[str, Route]] = {}
        self._servers: dict[tuple[str, int], _Server] = {}

    def add(self, address: str, port: int, path: str, route: Route) -> None:
        """Serve ``path`` there."""
        self._routes.setdefault((address, port), {})[path] = _only_here(route) if loopback(address) else route

    async def start(self) -> None:
        """Listen wherever it can be. Raises :class:`ConfigError` for what cannot be had; call it again then."""
        loop = asyncio.get_running_loop()
        failed: list[str] = []
        for place, routes in self._routes.items():
            if place in self._servers:
                continue
            try:
                # In a thread: an address may be a name, and the name service may not answer.
                job = asyncio.ensure_future(asyncio.to_thread(_Server, place, routes, loop))
                async with asyncio.timeout(PATIENCE):
                    server = await asyncio.shield(job)
            except OSError as error:
                job.add_done_callback(_unwanted)
                why = error.strerror or str(error) or "no answer of the name service"
                failed.append(
                    f"{place[0]} port {place[1]} cannot be listened on ({why}); choose another bind_port or bind_address"
                )
                continue
            self._servers[place] = server
            threading.Thread(target=server.serve_forever, name=f"web {place[1]}", daemon=True).start()
        if failed:
            raise ConfigError("; ".join(failed))

    def port(self, address: str, port: int) -> int:
        """Return the port that is listened on, where 0 was asked for."""
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

    def server_bind(self) -> None:
        """Bind without the name service, which http.server asks here."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> Any:
        try:
            return super().get_request()
        except OSError:
            # Out of descriptors the connection stays in the queue, and would be tried again without a pause.
            time.sleep(REST)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # A timeout of the socket begins anew with each byte.
        end = threading.Timer(LONGEST, _break_off, (request,))
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a client that went away."""
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


def _unwanted(job: asyncio.Future[_Server]) -> None:
    """Close a server that came too late, so that it does not keep the port."""
    if not job.cancelled() and job.exception() is None:
        job.result().server_close()


def _break_off(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def loopback(host: str) -> bool:
    """Return whether the name or address of a URL means this machine itself."""
    name = host.removeprefix("[").removesuffix("]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _only_here(route: Route) -> Route:
    def guarded(headers: Mapping[str, str]) -> Answer:
        host = headers.get("host", "").strip()
        name = host if host.endswith("]") else host.rpartition(":")[0] if ":" in host else host
        if loopback(name):
            return route(headers)
        text = "This server listens on the loopback address only; ask for http://localhost, or see docs/page.md for a proxy.\n"
        return Answer(text.encode(), "text/plain", SAFE, status=HTTPStatus.MISDIRECTED_REQUEST)

    return guarded


def _takes_gzip(accepted: str) -> bool:
    """Return whether prometheus_client's own handler would compress for this Accept-Encoding."""
    return any(coding.partition(";")[0].strip().lower() == "gzip" for coding in accepted.split(","))


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "nutdrv_py"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        try:
            parts = urlsplit(self.path)
            path, query = parts.path, parts.query
        except ValueError:
            # Brackets that hold no address.
            path, query = self.path, ""
        route = self.server.routes.get(path)
        if len(self.headers.get_all("Host", ())) > 1:
            # RFC 9112, 3.2; which of them counts would be a guess.
            answer = Answer(b"There is more than one Host header.\n", "text/plain", status=HTTPStatus.BAD_REQUEST)
        elif route is None:
            known = " ".join(sorted(self.server.routes))
            text = f"There is no {path[:100]!a} here. There is: {known}\n"
            answer = Answer(text.encode(), "text/plain", status=HTTPStatus.NOT_FOUND)
        else:
            try:
                asked = {name.lower(): value for name, value in self.headers.items()}
                answer = self.server.make(route, {**asked, QUERY: query})
                if answer.compress and _takes_gzip(asked.get("accept-encoding", "")):
                    # Here, in the client's thread: it takes milliseconds, which the event loop has not.
                    packed = gzip.compress(answer.body)
                    answer = replace(answer, body=packed, headers={**answer.headers, "Content-Encoding": "gzip"})
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
