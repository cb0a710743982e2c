# SPDX-License-Identifier: GPL-2.0-or-later
"""What is recorded of a scene, the client of upsd that it is read with, and upsmon's settings."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field

__all__ = ["GONE", "SILENT", "STALE", "WAIT", "Monitor", "Record", "Sample", "Upsd"]

STALE, GONE = "(stale)", "(no driver)"
"""What a record has in place of a status while upsd serves none."""

WAIT = "WAIT"
"""upsd's own status before the driver's first."""

SILENT = (STALE, GONE)


@dataclass(frozen=True, slots=True)
class Monitor:
    """Settings of upsmon, in seconds; those of an installation that nobody has tuned, but for FINALDELAY."""

    look: int = 5
    deadtime: int = 15
    finaldelay: int = 0

    def configure(self, text: str) -> str:
        """Return upsmon.conf with these settings in place of the scratch NUT's."""
        for name, value in (
            ("POLLFREQ", self.look), ("POLLFREQALERT", self.look), ("DEADTIME", self.deadtime), ("FINALDELAY", self.finaldelay)
        ):  # fmt: skip
            text = re.sub(rf"^{name} \d+", f"{name} {value}", text, flags=re.MULTILINE)
        return text


@dataclass(frozen=True, slots=True)
class Sample:
    """The status that upsd served at a monotonic time."""

    at: float
    status: str

    @property
    def tokens(self) -> frozenset[str]:
        """The words of the status; none while upsd serves none."""
        return frozenset() if self.status in SILENT else frozenset(self.status.split())


@dataclass(slots=True)
class Record:
    """All that was seen in a scene."""

    samples: list[Sample] = field(default_factory=list)
    values: dict[str, set[str]] = field(default_factory=dict)
    most: int = 0
    """Variables served at a time, at most."""
    starts: list[float] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    stop_seconds: float = 0.0
    """How long the driver took to end when it was last asked to."""

    @property
    def status(self) -> str:
        """The last status."""
        return self.samples[-1].status if self.samples else GONE


class Upsd:
    """A client of upsd that asks for everything, on one connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sock: socket.socket | None = None

    def ask(self, words: str, last: bytes) -> bytes:
        """Return the answer up to ``last`` at the begin of its last line, or an ERR line. Raises OSError."""
        if self._sock is None:
            self._sock = socket.create_connection(("127.0.0.1", self._port), 5)
        try:
            self._sock.sendall(words.encode() + b"\n")
            data = b""
            while not (data.endswith(b"\n") and (data.startswith(b"ERR") or data.splitlines()[-1].startswith(last))):
                piece = self._sock.recv(1 << 16)
                if not piece:
                    raise ConnectionError
                data += piece
        except OSError:
            self.close()
            raise
        return data

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
