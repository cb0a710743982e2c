# SPDX-License-Identifier: GPL-2.0-or-later
"""A server that answers whatever it is told to, endlessly if need be, and counts what was taken from it."""

from __future__ import annotations

import contextlib
import gzip
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["ENDLESS", "Hostile", "bomb", "hostile"]

ENDLESS = 64 << 20
"""Bytes after which even an endless answer ends."""


def bomb(layers: int = 2, size: int = 64 << 20) -> bytes:
    """Return some bytes that become ``size`` when they are decompressed so often."""
    data = bytes(size)
    for _ in range(layers):
        data = gzip.compress(data, 9)
    return data


@dataclass
class Hostile:
    """What the server does: sends ``head``, then ``body`` again and again if ``endless``."""

    head: bytes
    body: bytes = b""
    endless: bool = False
    port: int = 0
    taken: int = 0
    """Bytes of bodies that the other side has taken, with what lies in the buffers of two sockets."""
    asked: list[bytes] = field(default_factory=list)


def _serve(server: socket.socket, what: Hostile) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, contextlib.suppress(OSError):
            client.settimeout(20)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
            what.asked.append(client.recv(1 << 16))
            client.sendall(what.head)
            while True:
                client.sendall(what.body)
                what.taken += len(what.body)
                if not what.endless or what.taken > ENDLESS:
                    break


@contextlib.contextmanager
def hostile(what: Hostile) -> Iterator[Hostile]:
    """Serve on loopback until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        what.port = server.getsockname()[1]
        threading.Thread(target=_serve, args=(server, what), daemon=True).start()
        try:
            yield what
        finally:
            server.shutdown(socket.SHUT_RDWR)
