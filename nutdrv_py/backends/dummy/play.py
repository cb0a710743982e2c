# SPDX-License-Identifier: GPL-2.0-or-later
"""A port file in time: its values at one moment, and what clients have set meanwhile. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nutdrv_py.nut.portitems import Alarm, Entry, Item, Timer

__all__ = ["SHORTEST", "Overlay", "Player", "Text"]

SHORTEST = 0.1
"""Seconds that a TIMER above zero takes at least: more than ten steps a second are of no use, and a file must not keep
the processor busy."""

EARLY = 0.005
"""Seconds by which a sleep may end too early: clocks are coarse."""


@dataclass(frozen=True, slots=True)
class Text:
    """A variable's name as it was first spelt, and its text."""

    name: str
    value: str


class Player:
    """Goes through the items of a file, from TIMER to TIMER.

    With ``loop`` it begins anew at the end, at once if the pass had a pause, else ``least`` seconds after the pass began.
    A value of a pass holds until the file gives it anew, as in dummy-ups, also across the end of the file.
    """

    def __init__(self, items: Sequence[Item], *, loop: bool, least: float, defaults: Mapping[str, str]) -> None:
        self._items = items
        self._loop = loop and any(isinstance(item, Timer) for item in items)
        self._least = least
        self._next = 0
        self._began = 0.0
        self._paused = False
        self.due: float | None = 0.0
        """When the next item is to be played, None when there is nothing more to come."""
        self.values = {name.lower(): Text(name, value) for name, value in defaults.items()}
        self.alarms: tuple[str, ...] = ()

    def play(self, now: float) -> None:
        """Do all that is due, until a pause or the end."""
        if self.due is None or now < self.due - EARLY:
            return
        if self._next == 0:
            self._began, self._paused = now, False
        for index in range(self._next, len(self._items)):
            pause = self._one(self._items[index])
            if pause > 0:
                self._next, self._paused, self.due = index + 1, True, now + max(pause, SHORTEST)
                return
        if not self._loop:
            self.due = None
        elif self._paused:
            self._next, self.due = 0, now
            self.play(now)
        else:
            self._next, self.due = 0, self._began + self._least

    def _one(self, item: Item) -> float:
        """Take over an item; the seconds to pause after it."""
        match item:
            case Timer(seconds=seconds):
                return seconds
            case Alarm(text=""):
                self.alarms = ()
            case Alarm(text=text):
                self.alarms = tuple(dict.fromkeys((*self.alarms, text)))
            case Entry(name=name, value=""):
                self.values.pop(name.lower(), None)
            case Entry(name=name, value=value):
                known = self.values.get(name.lower())
                self.values[name.lower()] = Text(known.name if known else name, value)
        return 0.0


@dataclass(frozen=True, slots=True)
class _Set:
    name: str
    value: str | None
    instead: Text | None


class Overlay:
    """What clients have set. It holds until the file itself gives that variable another value than it had then."""

    def __init__(self) -> None:
        self._set: dict[str, _Set] = {}

    def put(self, name: str, value: str | None, values: Mapping[str, Text]) -> None:
        """Set the value of a variable from now on, or with None is no more; ``values`` are the file's own now."""
        self._set[name.lower()] = _Set(name, value, values.get(name.lower()))

    def over(self, values: Mapping[str, Text]) -> dict[str, Text]:
        """Return the file's values with what was set over them."""
        self._set = {key: item for key, item in self._set.items() if values.get(key) == item.instead}
        result = dict(values)
        for key, item in self._set.items():
            if item.value is None:
                result.pop(key, None)
            else:
                result[key] = Text(item.instead.name if item.instead else item.name, item.value)
        return result
