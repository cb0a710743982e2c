# SPDX-License-Identifier: GPL-2.0-or-later
"""TCP ports for the servers of all scenes.

A port of the kernel's own range can be another program's by the time upsd listens on it, so these are below that range.
"""

from __future__ import annotations

import random
import socket
import threading

from nutdrv_py.simulators.nut import Stage

__all__ = ["move", "take"]

FIRST, LAST = 20000, 32000

_lock, _taken = threading.Lock(), set[int]()
_random = random.SystemRandom()


def take() -> int:
    """Return a loopback port that nobody listens on now and that no other scene has."""
    with _lock:
        while True:
            port = _random.randint(FIRST, LAST)
            if port in _taken:
                continue
            with socket.socket() as sock:
                try:
                    sock.bind(("127.0.0.1", port))
                except OSError:
                    continue
            _taken.add(port)
            return port


def move(stage: Stage) -> None:
    """Give a scratch NUT whose programs do not run yet a port of its own."""
    before, stage.port = stage.port, take()
    for name in ("upsd.conf", "upsmon.conf"):
        path = stage.folder / "etc" / name
        path.write_text(path.read_text().replace(str(before), str(stage.port)))
