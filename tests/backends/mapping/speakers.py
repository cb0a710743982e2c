# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that are not there: each speaks the real protocol, on loopback, and says what a test wants."""

from __future__ import annotations

import contextlib
import json
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from nutdrv_py.simulators.enphase.certificate import make_certificate

__all__ = ["ModbusServer", "WebServer"]


class WebServer:
    """A web server with a login that sets a cookie, as the Powerwall's gateway has one. ``answers`` are JSON, or bytes."""

    def __init__(self, folder: Path, *, tls: bool = True, password: str = "", token: str = "") -> None:
        self.answers: dict[str, object] = {}
        self.password = password
        self.token = token
        self.cookie = 0
        self.status: dict[str, int] = {}
        self.seen: list[tuple[str, str, Mapping[str, str]]] = []
        self.refusal = 401
        self.hanging: set[str] = set()
        """The paths for which ``hang`` counts; all when empty."""
        self.hang = threading.Event()
        self.hang.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.seen.append(("POST", self.path, dict(self.headers)))
                if json.loads(body).get("password") != outer.password:
                    self._send(401, b"{}")
                    return
                outer.cookie += 1
                self._send(200, json.dumps({"token": outer.token}).encode(), {"Set-Cookie": f"AuthCookie=c{outer.cookie}; Path=/; HttpOnly"})

            def do_GET(self) -> None:
                outer.seen.append(("GET", self.path, dict(self.headers)))
                if self.path in outer.hanging or not outer.hanging:
                    outer.hang.wait(20)
                if outer.password and not self._known():
                    self._send(outer.refusal, b"{}")
                    return
                answer = outer.answers.get(self.path)
                if answer is None:
                    self._send(404, b"{}")
                    return
                self._send(outer.status.get(self.path, 200), answer if isinstance(answer, bytes) else json.dumps(answer).encode())

            def _known(self) -> bool:
                if outer.token:
                    return self.headers.get("Authorization") == f"Bearer {outer.token}"
                return outer.cookie > 0 and f"AuthCookie=c{outer.cookie}" in self.headers.get("Cookie", "")

            def _send(self, code: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
                self.send_response(code)
                self.send_header("Content-Length", str(len(body)))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.fingerprint = ""
        if tls:
            made = make_certificate(folder, "powerwall", "web")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(made.path, made.key_path)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.fingerprint = made.fingerprint
        self.port = self._server.server_address[1]
        self.address = f"127.0.0.1:{self.port}"

    def forget(self) -> None:
        """End all logins."""
        self.cookie += 1000

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.hang.set()
        self._server.shutdown()
        self._server.server_close()


class ModbusServer:
    """Registers over Modbus TCP, from the protocol's document alone, so that a fault of the library would be seen.

    ``registers`` are (unit, table, address as it is sent): value. A register that is not there is exception 2.
    """

    def __init__(self) -> None:
        self.registers: dict[tuple[int, str, int], int] = {}
        self.seen: list[tuple[int, int, int, int]] = []
        self.spoil: Callable[[bytes], bytes] = lambda answer: answer
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, struct.error):
                    while True:
                        number, _, _, unit, function, address, count = struct.unpack(">HHHBBHH", self._exactly(12))
                        outer.seen.append((unit, function, address, count))
                        table = {3: "holding", 4: "input"}.get(function, "")
                        found = [outer.registers.get((unit, table, at)) for at in range(address, address + count)]
                        values = [value for value in found if value is not None]
                        whole = len(values) == count and 0 < count <= 125
                        body = struct.pack(f">BB{count}H", function, 2 * count, *values) if whole else bytes((function | 0x80, 2))
                        self.request.sendall(outer.spoil(struct.pack(">HHHB", number, 0, len(body) + 1, unit) + body))

            def _exactly(self, count: int) -> bytes:
                data = b""
                while len(data) < count:
                    piece = self.request.recv(count - len(data))
                    if not piece:
                        raise OSError
                    data += piece
                return data

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def say(self, unit: int, values: Mapping[int, int], table: str = "holding") -> None:
        """Set registers; a negative number is a signed 16 bit one."""
        self.registers.update({(unit, table, address): value & 0xFFFF for address, value in values.items()})

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
