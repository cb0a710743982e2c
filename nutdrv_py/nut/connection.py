# SPDX-License-Identifier: GPL-2.0-or-later
"""One client of the driver socket, without the socket: bytes to requests, requests to answers.

The caller feeds :meth:`Connection.receive` whatever arrived, sends what :func:`answer` gives with one write, and carries
out SET and INSTCMD itself, because those need the device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from nutdrv_py.errors import ProtocolError
from nutdrv_py.nut.messages import (
    Broadcast,
    DumpAll,
    DumpStatus,
    DumpValue,
    GetPid,
    Goodbye,
    Logout,
    Message,
    NoBroadcast,
    Pid,
    Ping,
    Pong,
    Request,
    Unknown,
    parse_request,
)
from nutdrv_py.nut.parseconf import BadLine, Reader
from nutdrv_py.nut.snapshot import Snapshot, dump

__all__ = ["Connection", "answer", "encode"]


class Connection:
    """What the driver remembers of one client: half a line, and whether it wants to hear of changes."""

    def __init__(self) -> None:
        self._reader = Reader()
        self.broadcast = True
        """Whether changes are sent to this client unasked."""

    def receive(self, data: bytes) -> Iterator[Request]:
        """Yield the requests that ``data`` completes, in order. BROADCAST and NOBROADCAST take effect when they are reached."""
        for item in self._reader.feed(data):
            if isinstance(item, BadLine):
                yield Unknown((), f"Parse error on sock: {item.reason}")
                continue
            request = parse_request(item.words)
            if isinstance(request, NoBroadcast):
                self.broadcast = False
            elif isinstance(request, Broadcast):
                self.broadcast = request.on
            yield request


def answer(request: Request, snapshot: Snapshot, pid: int) -> Iterator[Message]:
    """Yield the answer to a request that needs no device; nothing for those that have none (and for SET, INSTCMD)."""
    match request:
        case DumpAll():
            yield from dump(snapshot)
        case DumpValue(name):
            yield from dump(snapshot, name)
        case DumpStatus():
            # Of a C driver upsdrvctl reads DATASTALE alone, because the rest comes in another piece, and shows no status. This
            # answer is one piece, and a status in it would be shown as if it were current.
            yield from dump(replace(snapshot, variables={}) if snapshot.stale else snapshot, "ups.status")
        case Ping():
            yield Pong()
        case GetPid():
            yield Pid(pid)
        case Logout():
            yield Goodbye()


def encode(messages: Iterator[Message]) -> bytes:
    """Return all messages as one piece, so that an answer is one write (old clients read an answer with one read).

    A message that would break its line is left out: the others are right.
    """
    lines = []
    for message in messages:
        with contextlib.suppress(ProtocolError):
            lines.append(message.encode())
    return b"".join(lines)
