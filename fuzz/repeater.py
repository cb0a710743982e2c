# SPDX-License-Identifier: GPL-2.0-or-later
"""Another NUT server: what it answers, through the repeater up to upsd."""

from __future__ import annotations

from fuzz.invariants import Told, Upsd, bounded, kept, only
from fuzz.taking import SECRET
from nutdrv_py.backends.repeater import Repeater
from nutdrv_py.backends.repeater.config import RepeaterConfig
from nutdrv_py.backends.repeater.mirror import mirror
from nutdrv_py.clock import Clock
from nutdrv_py.core.events import Limits
from nutdrv_py.core.guard import guarded
from nutdrv_py.core.lowbattery import Wishes
from nutdrv_py.device.reading import Status
from nutdrv_py.errors import DeviceError

__all__ = ["BEGIN", "answers"]

BEGIN = b"BEGIN LIST VAR rack\n"


class _Still(Clock):
    """Time stands still: how long a server may take is no matter of its bytes."""

    def monotonic(self) -> float:
        return 1000.0


class _Server:
    """The server's end of the line as pynut2 shows it: gives out the lines of the input, whatever is asked."""

    def __init__(self, data: bytes) -> None:
        self._lines = data.splitlines(keepends=True)
        self._timeout = 0.0
        self._srv_handler = self

    def _write(self, text: str) -> None:
        assert text.endswith("\n") and text.count("\n") == 1, f"not one line: {text!a}"

    def _read_until(self, end: str) -> str:
        return self._lines.pop(0).decode() if self._lines else ""

    def write(self, data: bytes) -> None:
        """Take the farewell."""

    def close(self) -> None:
        """Close."""


def answers(data: bytes) -> None:
    """Poll a server that answers the input, as it is and behind the beginning of a list: OB, LB and FSD only if it says so."""
    for text in (data, BEGIN + data, BEGIN + b"VAR rack ups.status " + data):
        backend = Repeater(RepeaterConfig(ups="u", port="rack@localhost", username="me", password=SECRET), _Still())
        backend.line._client = _Server(text)
        with only(DeviceError):
            values = backend._fetch()
            reading = mirror(backend.source, values, backend._identity)
            # What cannot be printed is left out of a line, as by NUT's own clients.
            said = bytes(byte for byte in text.upper() if 32 <= byte < 127 and byte not in b'"\\')
            for found, _ in (guarded(reading, (SECRET,)), guarded(reading, (SECRET,), fsd=True)):
                for token in (Status.OL, Status.OB, Status.LB, Status.FSD):
                    assert token not in found.status or (token.name or "").encode() in said, f"{found.status}: {text!a}"
            told = Told(ever_off=True, empty=True)
            upsd = Upsd(1000.0, Limits(2, 15, 7), told, wishes=Wishes(says_low=True))
            upsd.polled(reading, 1001.0)
            upsd.waits(1100.0)
        bounded("bytes that the repeater keeps", kept(backend), 4 * len(text) + 4096)
