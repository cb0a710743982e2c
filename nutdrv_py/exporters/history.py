# SPDX-License-Identifier: GPL-2.0-or-later
"""The last day of each UPS, a minute at a time.

A minute in which nothing was recorded, because the driver was down, is a minute without data. Minutes of this run are counted
by the monotonic clock and dated when they are read, so they keep their place when the wall clock is set.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from nutdrv_py.clock import Clock
from nutdrv_py.core.telemetry import View
from nutdrv_py.device.reading import Status

__all__ = ["COLUMNS", "DAY", "MINUTE", "Day", "History", "Minute", "State", "decode", "encode", "state"]

MINUTE = 60
"""Seconds of one sample."""

DAY = 24 * 60
"""Maximum samples that are kept."""

LARGEST = 1e9
"""Minimum value that is dropped as nonsense: the file must stay small."""


class State(enum.IntEnum):
    """How a UPS was. Of several within a minute the greatest stays: what a person would want to know of it."""

    GRID = 0
    NONE = 1
    OFF = 2
    BATTERY = 3
    LOW = 4

    @property
    def letter(self) -> str:
        """Return the state in a text of one letter for each minute."""
        return "g-obl"[self]


@dataclass(frozen=True, slots=True)
class Column:
    """A quantity that is kept: its name, the variable it is taken from, its decimals."""

    name: str
    variable: str
    decimals: int


COLUMNS = (
    Column("charge", "battery.charge", 1),
    Column("load", "ups.load", 1),
    Column("grid", "input.realpower", 0),
    Column("pv", "experimental.pv.realpower", 0),
)
"""Percent, percent, W (+ = import), W."""

Values = tuple[float | None, ...]
_NOTHING: Values = (None,) * len(COLUMNS)
_LETTERS = {state.letter: state for state in State}


@dataclass(frozen=True, slots=True)
class Minute:
    """One sample; ``values`` in the order of :data:`COLUMNS`."""

    state: State
    values: Values = _NOTHING


@dataclass(frozen=True, slots=True)
class Day:
    """Minutes in a row; ``first`` is the number of the first since 1970. None: nothing was recorded."""

    first: int
    minutes: tuple[Minute | None, ...]


def state(view: View) -> State:
    """Return the state of a view; a UPS that is neither on the grid nor on battery is off."""
    if view.stale:
        return State.NONE
    if Status.OB in view.status:
        return State.LOW if Status.LB in view.status else State.BATTERY
    return State.GRID if Status.OL in view.status else State.OFF


class History:
    """The last day of one UPS."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._minutes: dict[int, Minute] = {}
        self._began = self._now()
        self._earlier: Mapping[int, Minute] = {}

    def record(self, view: View) -> None:
        """Take in what is known now; cheap, so it may be called for each change."""
        numbers = view.numbers
        values = (numbers.get(column.variable) for column in COLUMNS)
        sane = tuple(value if value is not None and abs(value) < LARGEST else None for value in values)
        new = Minute(state(view), _NOTHING if view.stale else sane)
        now = self._now()
        old = self._minutes.get(now)
        if old is None or new.state >= old.state:
            self._minutes[now] = new
        while len(self._minutes) > DAY:
            del self._minutes[next(iter(self._minutes))]

    def restore(self, earlier: Day) -> None:
        """Take over what an earlier run has recorded."""
        numbered = enumerate(earlier.minutes[-DAY:], earlier.first + max(0, len(earlier.minutes) - DAY))
        self._earlier = {index: minute for index, minute in numbered if minute is not None}

    def day(self) -> Day:
        """Return the last 24 hours; the last minute is the present one."""
        now = self._now()
        date = round((self._clock.wall() - self._clock.monotonic()) / MINUTE)
        began = self._began + date
        found = []
        for index in range(now - DAY + 1, now + 1):
            dated = index + date
            found.append(self._minutes.get(index) or (self._earlier.get(dated) if dated <= began else None))
        return Day(now + date - DAY + 1, tuple(found))

    def _now(self) -> int:
        return int(self._clock.monotonic() // MINUTE)


def encode(day: Day) -> dict[str, object]:
    """Return the day as columns for JSON: ``from`` in seconds since 1970, ``step`` in seconds, ``states`` with a letter a
    minute."""
    columns = {
        column.name: [
            None if minute is None or (value := minute.values[index]) is None else _short(value, column.decimals)
            for minute in day.minutes
        ]
        for index, column in enumerate(COLUMNS)
    }
    letters = "".join(State.NONE.letter if minute is None else minute.state.letter for minute in day.minutes)
    return {"from": day.first * MINUTE, "step": MINUTE, "states": letters, **columns}


def _short(value: float, decimals: int) -> float:
    rounded = round(value, decimals)
    return int(rounded) if rounded == int(rounded) else rounded


def decode(data: object) -> Day:
    """Return what :func:`encode` has made. Raises :class:`ValueError` for anything else."""
    match data:
        case {"from": int(first), "step": int(step), "states": str(letters), **others} if (
            step == MINUTE and 0 <= first < 1 << 40 and len(letters) <= DAY and set(letters) <= _LETTERS.keys()
        ):
            columns = [_column(others.get(column.name), len(letters)) for column in COLUMNS]
            rows = zip(*columns, strict=True)
            return Day(first // MINUTE, tuple(Minute(_LETTERS[letter], row) for letter, row in zip(letters, rows, strict=True)))
    raise ValueError("it holds something that is no day of a UPS")


def _column(data: object, length: int) -> list[float | None]:
    if not isinstance(data, list) or len(data) != length:
        raise ValueError("a column in it has the wrong length")
    for value in data:
        if value is not None and (type(value) not in (int, float) or not abs(value) < LARGEST):
            raise ValueError("a column in it holds something that is no number")
    return data
