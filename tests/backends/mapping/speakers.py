# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that are not there: each speaks the real protocol, on loopback, and says what a test wants."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from nutdrv_py.simulators.enphase.certificate import make_certificate

__all__ = ["WebServer"]


class WebServer:
    """A web server with a login that sets a cookie, as the Powerwall's gateway has one. ``answers`` are JSON, or bytes."""

    def __init__(self, folder: Path, *, tls: bool = True, password: str = "", token: str = "") -> None:
        self.answers: dict[str, object] = {}
        self.password = password
        self.token = token
        self.cookie = 0
        self.status: dict[str, int] = {}
        self.seen: list[tuple[str, str, Mapping[str, str]]] = []
        self.hang = threading.Event()
        self.hang.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

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
                outer.hang.wait(20)
                if outer.password and not self._known():
                    self._send(401, b"{}")
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
