# SPDX-License-Identifier: GPL-2.0-or-later
"""What was heard on an inverter's line: values and when they came, what was answered, and how fast the line is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from nutdrv_py.errors import ProtocolError
from nutdrv_py.protocols.rct import payload
from nutdrv_py.protocols.rct.frame import ANSWERS, Frame
from nutdrv_py.protocols.rct.objects import BY_OID

__all__ = ["Counts", "Datum", "Heard", "Pace"]

SAMPLES = 9
"""Answers that make the line's pace. The slowest of them does not count: it may have been lost and asked for again."""

PATIENCE = 10.0
"""Seconds after which an answer is none to our request."""


@dataclass(frozen=True, slots=True)
class Datum:
    """A value and the monotonic time at which it came."""

    value: payload.Value
    at: float


@dataclass(slots=True)
class Counts:
    """What happened on the line since the start."""

    bytes_received: int = 0
    bytes_sent: int = 0
    frames_received: int = 0
    frames_sent: int = 0
    unknown: int = 0
    """Answers for objects that are not in use, which others asked for."""
    foreign: int = 0
    """Frames that are no answers, or answers of an inverter behind this one."""
    payload: int = 0
    """Answers whose payload is not what the object's type has: they were cut short."""
    range: int = 0
    """Answers with a value outside the object's range."""
    lost: int = 0
    """Requests that brought no usable answer, however often they were repeated."""
    connections: int = 0


class Pace:
    """How long the line works on an answer: since it was asked for, or since the answer before it."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self._asked: dict[int, float] = {}
        self.served = 0.0
        """Time of the event loop at which the last answer came."""
        self.seconds = 0.0
        """Seconds that an answer takes; 0 before any was given."""

    def asked(self, oid: int, now: float) -> None:
        """Note a request made at ``now``."""
        self._asked[oid] = now

    def answered(self, oid: int, now: float) -> None:
        """Note an answer that came at ``now``."""
        asked = self._asked.pop(oid, None)
        if asked is not None and now - asked < PATIENCE:
            self._samples.append(now - max(asked, self.served))
            count = len(self._samples)
            self.seconds = min(self._samples) if count < 3 else (sum(self._samples) - max(self._samples)) / (count - 1)
        self.served = now

    def forget_requests(self) -> None:
        """Forget what was asked: it is not answered any more."""
        self._asked.clear()


class Heard:
    """Takes in frames; keeps the values by the object's name, and which objects were answered."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.pace = Pace()
        self.values: dict[str, Datum] = {}
        self.answered: dict[int, bool] = {}
        """Whether the last answer for an object could be read; without an entry there was none since it was asked."""
        self.at: float | None = None
        """Monotonic time of the last valid answer on this connection."""

    def take(self, frames: Iterable[Frame], at: float, now: float) -> None:
        """Take in what came at monotonic time ``at``, which is ``now`` for the event loop."""
        counts = self.counts
        for frame in frames:
            counts.frames_received += 1
            if frame.command not in ANSWERS or frame.address is not None:
                counts.foreign += 1
                continue
            self.at = at
            self.pace.answered(frame.oid, now)
            row = BY_OID.get(frame.oid)
            if row is None:
                counts.unknown += 1
                continue
            try:
                value = payload.decode(row.kind, frame.payload)
            except ProtocolError:
                counts.payload += 1
                self.answered[row.oid] = False
                continue
            self.answered[row.oid] = True
            if row.plausible(value):
                self.values[row.name] = Datum(value, at)
            else:
                counts.range += 1
