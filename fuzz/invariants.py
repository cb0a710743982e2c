# SPDX-License-Identifier: GPL-2.0-or-later
"""What must hold whatever the bytes are. All targets take their checks from here.

1. Only documented errors are raised (:func:`only`); the text of each is a sentence without a secret (:func:`harmless`). An
   exception that the package catches and logs as a fault of its own, or that ends in the event loop, is a finding too.
2. ``OB`` is served if and only if the device has said so last; an error, silence or nonsense changes nothing (:class:`Upsd`).
3. ``LB`` is served only off the grid, and only if a charge that was told can have come down to a mark that was told
   (:meth:`Upsd.low_allowed`).
4. What upsd is given is well-formed: printable ASCII, one line for each message, finite numbers, no FSD, never an empty status.
5. What is kept of an input and what is made of it is bounded (:func:`kept`, :func:`bounded`). The time is bounded by a generous
   alarm of libFuzzer alone.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import json
import logging
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from fuzz.taking import SECRET
from nutdrv_py import log
from nutdrv_py.core import freshness, lowbattery
from nutdrv_py.core.events import Early, Event, Failed, Limits, Opened, Polled, Tick
from nutdrv_py.core.guard import guarded
from nutdrv_py.core.lowbattery import Wishes
from nutdrv_py.core.recall import Memory, Recall, noted, parsed
from nutdrv_py.core.variables import Marks, shape
from nutdrv_py.device.reading import Reading, Status
from nutdrv_py.device.storage import CONFIRMATION, FASTEST
from nutdrv_py.device.trust import C_RATE
from nutdrv_py.errors import DeviceError, NutdrvError
from nutdrv_py.nut.connection import encode
from nutdrv_py.nut.snapshot import Snapshot, dump

__all__ = ["WALL", "Heard", "Told", "Upsd", "bounded", "harmless", "heard", "kept", "listening", "only"]

MOST_SAID = 1 << 20
"""Bytes of one answer to upsd, at most: a client that leaves as many unread is cut off."""

MOST_LINES = 40
"""Lines of the log for one poll of a device, at most."""

SMALLEST = 500.0
"""Wh that a house battery holds, at least."""

MOST_LOAD = 30000.0
"""W that a battery of unknown size may lose, at most."""

WALL = 1_800_000_000.0
"""Wall time at which the monotonic clock is 0."""

_LINE = re.compile(rb'[A-Z]+(?: [!-~]+(?: (?:"(?:[^"\\]|\\.)*"|[!-~]+))*)?')
_VALUE = re.compile(r"[ -~]{0,255}")
_NO_EXPONENT = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")


def harmless(*texts: object) -> None:
    """Check that no text holds the planted secret."""
    for text in texts:
        assert SECRET not in str(text), f"the secret is shown: {str(text)[:200]!a}"


def bounded(what: str, size: int, most: int) -> None:
    """Check a size."""
    assert size <= most, f"{what}: {size}, which is more than {most}"


def kept(holder: object) -> int:
    """Return the bytes and characters that an object of this package keeps in its fields."""
    size, waiting, seen = 0, [holder], set[int]()
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, bytes | bytearray | str):
            size += len(item)
        elif isinstance(item, list | tuple | set | frozenset):
            waiting.extend(item)
        elif isinstance(item, Mapping):
            waiting.extend(item.keys())
            waiting.extend(item.values())
        elif type(item).__module__.startswith("nutdrv_py") and not isinstance(item, enum.Enum):
            slots = (name for kind in type(item).__mro__ for name in getattr(kind, "__slots__", ()))
            waiting.extend(getattr(item, name, None) for name in (*getattr(item, "__dict__", ()), *slots))
    return size


@contextlib.contextmanager
def only(*errors: type[NutdrvError]) -> Iterator[list[NutdrvError]]:
    """Let these errors pass; the list holds the one that was raised. Any other exception is a finding."""
    found: list[NutdrvError] = []
    try:
        yield found
    except errors as error:
        cause: BaseException | None = error
        while cause is not None:
            harmless(cause)
            cause = None if cause.__suppress_context__ and cause.__cause__ is None else cause.__cause__ or cause.__context__
        assert str(error).strip(), "an error without a sentence"
        found.append(error)


class Heard(logging.Handler):
    """Takes in what is logged: counts the lines, looks for the secret, and keeps what the package calls an error of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = 0
        self.internal: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Count a line, and look at it."""
        self.lines += 1
        text = self.format(record)
        harmless(text)
        if record.exc_info:
            self.internal.append(text)


heard = Heard()


def listening(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return ``target`` with the log led to :data:`heard` while it runs, and nowhere else."""

    @functools.wraps(target)
    def listens(data: bytes) -> None:
        before = log.log.level, log.log.propagate
        log.log.addHandler(heard)
        log.log.setLevel(logging.INFO)
        log.log.propagate = False
        try:
            heard.internal.clear()
            target(data)
            assert not heard.internal, f"the package caught a fault of its own: {heard.internal[0]}"
        finally:
            log.log.removeHandler(heard)
            log.log.level, log.log.propagate = before

    return listens


SUDDEN = 15.0
"""Percentage points that a charge may fall at once, and be believed; one that falls faster must stay."""

HIGH, HIGHEST = 30.0, 90.0
"""Percent: a limit of the device above the first must stay, one above the second is none."""

FULL = 51.0
"""Percent from which a single sign of an empty battery must stay."""

STAYS = CONFIRMATION - 5
"""Seconds for which it must stay, at least."""


@dataclass(slots=True)
class Told:
    """What the device has said so far, as the target reads it from the bytes by itself.

    Doubts are looser here than those of the package: what was unusual counts as soon as it comes again after :data:`STAYS`.
    """

    off_grid: bool | None = None
    """What it said last about the grid; None: nothing, or nothing that counts."""
    ever_off: bool = False
    charge: float = 100.0
    """The lowest charge that was told and may be believed, in percent."""
    mark: float = 20.0
    """The highest low mark that what was told can give, in percent."""
    empty: bool = False
    """Whether it has said, by whatever sign, that the battery is empty, whatever the charge."""
    signs: set[str] = field(default_factory=set)
    """The signs of an empty battery that it has given."""
    _first: dict[str, float] = field(default_factory=dict)
    _charges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def says(self, off_grid: bool) -> None:
        """Take in a statement on the grid."""
        self.off_grid = off_grid
        self.ever_off = self.ever_off or off_grid

    def says_charge(self, source: str, percent: float, at: float, wait: float = STAYS) -> None:
        """Take in a charge; one that falls at once must stay for ``wait`` seconds."""
        lowest = min(self._charges.values(), default=None)
        sudden = percent == 0 if lowest is None else lowest[0] - percent > SUDDEN + (at - lowest[1]) * FASTEST
        if not sudden or self._stays(f"charge {source}", at) >= (wait if percent else STAYS):
            self._charges[source] = percent, at
            self.charge = min(self.charge, percent)

    def says_limit(self, name: str, percent: float, mark: float, at: float) -> None:
        """Take in a limit from which the low mark follows; one that is unusual must stay."""
        if percent <= HIGH or (percent <= HIGHEST and self._stays(name, at) >= STAYS):
            self.mark = max(self.mark, mark)

    def says_empty(self, sign: str, at: float) -> None:
        """Take in a sign of an empty battery: two signs count, and one that stays."""
        self.signs.add(sign)
        self.empty = self.empty or len(self.signs) > 1 or self._stays(sign, at) >= STAYS

    def restarts(self) -> None:
        """The driver begins anew: what it hears first is not compared with anything."""
        self._charges.clear()

    def _stays(self, what: str, at: float) -> float:
        return at - self._first.setdefault(what, at)


class Upsd:
    """The core and what upsd is given by it, from the first poll to the last.

    It feeds polls, failures and time to the pure parts of the core, and checks what is served after each.
    """

    def __init__(self, at: float, limits: Limits, told: Told, *, wishes: Wishes = Wishes()) -> None:  # noqa: B008 - a frozen value
        self.told = told
        self._limits = limits
        self._wishes = wishes
        self._memory: Memory | None = None
        self._recall = Recall(None)
        self._state = freshness.begun(at, limits, wishes)
        self._since_off: float | None = None
        self._off_seconds = 0.0
        self._load = 0.0
        self._capacity = math.inf
        self._lines = heard.lines
        self.apply(Opened(at))

    def restarts(self, at: float) -> None:
        """Begin anew, with nothing but what the driver before has left in its file."""
        kept = None if self._memory is None else parsed(json.loads(json.dumps(self._memory.values())))
        assert kept == self._memory, f"{self._memory} is read as {kept}"
        self._recall = Recall(kept)
        self.told.restarts()
        self._state = freshness.begun(at, self._limits, self._wishes)
        self.apply(Opened(at))

    @property
    def status(self) -> Status:
        """The status that is served; nothing while the data are stale."""
        served = freshness.served(self._state, self._state.at)
        return Status(0) if served.reading is None or served.stale else served.reading.status

    def polled(self, reading: Reading, at: float, *, early: bool = False) -> None:
        """Take in a reading of the backend."""
        with only(DeviceError) as refused:
            reading, _ = guarded(reading, (SECRET,))
        if refused:
            self.apply(Failed(at))
            return
        reading = self._recall.complete(reading, at, WALL + at)
        if reading.decline is not None:
            capacity = reading.decline.capacity or 0.0
            assert not 0 < capacity < SMALLEST, f"a house battery of {capacity} Wh"
            bounded("W that the battery loses", int(reading.decline.load), int(max(MOST_LOAD, C_RATE * capacity)) + 1)
            self._load = max(self._load, reading.decline.load)
            self._capacity = min(self._capacity, reading.decline.capacity or math.inf)
        self.apply(Early(at, reading) if early else Polled(at, reading))
        if not early:
            bounded("lines of the log for one poll", heard.lines - self._lines, MOST_LINES)
            self._lines = heard.lines

    def failed(self, at: float) -> None:
        """Take in a poll that failed."""
        self.apply(Failed(at))

    def waits(self, until: float) -> None:
        """Let time pass."""
        looks = 0
        while (look := freshness.next_look(self._state)) is not None and look <= until:
            looks += 1
            bounded("looks of the core at a silent device", looks, int(until - self._state.at) + 1000)
            # A long silence is looked at in larger steps: what decides is the same.
            self.apply(Tick(max(look, self._state.at + (until - self._state.at) / 50)))
        self.apply(Tick(until))

    def apply(self, event: Event) -> None:
        """Take in an event, and check what is served then."""
        before = self._state.at
        self._state = freshness.after(self._state, event)
        at = self._state.at
        if self.told.ever_off:
            self._off_seconds += at - before
        served = freshness.served(self._state, at)
        if served.reading is None:
            return
        self._check_status(served.reading)
        self._memory = self._memory if served.stale else noted(served.reading, WALL + at) or self._memory
        if not served.stale:
            self._say(served.reading)

    def _check_status(self, reading: Reading) -> None:
        status, told = reading.status, self.told
        assert status, "a reading with an empty status"
        assert Status.FSD not in status, "a forced shutdown from a device"
        assert not Status.OL & status or not Status.OB & status, f"the status {status} says both"
        if told.off_grid is not None:
            assert (Status.OB in status) == told.off_grid, f"the device says off_grid={told.off_grid}, served is {status}"
        assert Status.OB not in status or told.ever_off, f"{status}, and the device has never been off the grid"
        if Status.LB in status:
            assert Status.OB in status, f"LB on the grid: {status}"
            assert Status.CAL not in status, f"CAL hides the low battery: {status}"
            assert self.low_allowed, (
                f"LB, though the lowest charge told is {told.charge} %, the highest mark {told.mark} %, "
                f"{self._off_seconds:.0f} s after the transfer with {self._load:.0f} W of {self._capacity} Wh at most"
            )

    @property
    def low_allowed(self) -> bool:
        """Whether the battery can be low by what was told, at the greatest load and the smallest capacity that were believed."""
        told = self.told
        lost = self._load * self._off_seconds / 36 / self._capacity if self._capacity < math.inf else 0.0
        return told.empty or told.charge - lost <= (FULL if told.signs else told.mark + 1)

    def _say(self, reading: Reading) -> None:
        """Check what upsd is given of the values that were not checked yet; the whole of it is bounded by their number."""
        values = {name: value for name, value in reading.values.items() if (name, type(value), value) not in _checked}
        if not values and (reading.status, reading.alarms) in _checked:
            return
        _checked.update((name, type(value), value) for name, value in values.items())
        _checked.add((reading.status, reading.alarms))
        reading = replace(reading, values=values)
        marks = Marks.of(reading, self._wishes, self._state.low.known, frozenset())
        variables = shape(reading, marks, {}, {}, {}, lowbattery.detection(reading, self._wishes, self._state.low))
        for name, variable in variables.items():
            assert _VALUE.fullmatch(variable.value), f"{name} is {variable.value!a}"
            if isinstance(reading.values.get(name), int | float):
                assert _NO_EXPONENT.fullmatch(variable.value), f"{name} is {variable.value!a}"
            harmless(variable.value)
        assert variables["ups.status"].value, "ups.status is empty"
        data = encode(dump(Snapshot(variables, stale=False)))
        bounded("bytes for upsd", len(data), MOST_SAID)
        for line in data.splitlines():
            assert _LINE.fullmatch(line), f"no line of the protocol: {line[:100]!a}"


_checked: set[object] = set()
