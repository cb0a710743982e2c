# SPDX-License-Identifier: GPL-2.0-or-later
"""What upsrw and upscmd may do with another server's UPS."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Set

from nutdrv_py.backends.repeater.line import Line, Refusal
from nutdrv_py.backends.repeater.mirror import is_mirrored
from nutdrv_py.device.backend import Writable

__all__ = ["Inventory"]

NUMBER_LENGTH = 32
"""Characters of a number without a range."""


class Inventory:
    """Asked once after each gap and whenever a variable appears; a little per poll, so that it never holds the status up."""

    def __init__(self) -> None:
        self.writable: Mapping[str, Writable] = {}
        self.commands: frozenset[str] = frozenset()
        self._seen: set[str] = set()
        self._waiting: list[str] = []
        self._found: dict[str, Writable] = {}

    def forget(self) -> None:
        """Ask anew when the source is there again; until then what was known holds."""
        self._seen.clear()
        self._waiting.clear()

    def learn(self, line: Line, names: Set[str], reserve: float) -> None:
        """Ask what is not known yet while more than ``reserve`` seconds of the line's time are left.

        Raises :class:`~nutdrv_py.errors.DeviceError` when the source is lost on the way.
        """
        if not names <= self._seen:
            self._waiting = _names(line, "RW")
            self._found = {}
            self.commands = frozenset(_names(line, "CMD"))
            self._seen |= names
        elif not self._waiting:
            return
        while self._waiting and line.left() > reserve:
            name = self._waiting.pop()
            # It may have gone meanwhile.
            with contextlib.suppress(Refusal):
                self._found[name] = _rule(line, name)
        if not self._waiting:
            self.writable = self._found


def _names(line: Line, kind: str) -> list[str]:
    # A server that does not know the question has none.
    with contextlib.suppress(Refusal):
        return [row[0] for row in line.rows(kind) if is_mirrored(row[0])]
    return []


def _rule(line: Line, name: str) -> Writable:
    kinds = line.ask("GET", "TYPE", line.source.ups, name)[3:]
    if "RANGE" in kinds:
        ranges = tuple(bounds for row in line.rows("RANGE", name) if (bounds := _bounds(row[1:])))
        if ranges:
            return Writable(ranges=ranges)
    if "ENUM" in kinds:
        allowed = tuple(row[1] for row in line.rows("ENUM", name) if len(row) > 1)
        if allowed:
            return Writable(enum=allowed)
    lengths = [kind.partition(":")[2] for kind in kinds if kind.startswith("STRING:")]
    return Writable(maxlen=int(lengths[0]) if lengths and lengths[0].isdecimal() else NUMBER_LENGTH)


def _bounds(words: tuple[str, ...]) -> tuple[int, int] | None:
    with contextlib.suppress(ValueError):
        low, high = map(int, words)
        return low, high
    return None
