# SPDX-License-Identifier: GPL-2.0-or-later
"""What a device's answer means: grid, no grid, or no statement; and a value in NUT's unit. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nutdrv_py.backends.mapping.sources import Place, Told
from nutdrv_py.device.mapping import to_number
from nutdrv_py.device.reading import Value

__all__ = ["FACTORS", "Grid", "Quantity", "Rule", "canonical"]

FACTORS: Mapping[tuple[str, str], float] = {
    ("kW", "W"): 1e3, ("MW", "W"): 1e6, ("mW", "W"): 1e-3, ("kWh", "Wh"): 1e3, ("MWh", "Wh"): 1e6, ("J", "Wh"): 1 / 3600,
    ("mV", "V"): 1e-3, ("kV", "V"): 1e3, ("mA", "A"): 1e-3, ("fraction", "%"): 100.0, ("permille", "%"): 0.1,
    ("min", "s"): 60.0, ("h", "s"): 3600.0, ("ms", "s"): 1e-3, ("mHz", "Hz"): 1e-3, ("kVA", "VA"): 1e3, ("mAh", "Ah"): 1e-3,
}  # fmt: skip
"""Factors from a unit that a file may name to NUT's."""


def canonical(raw: object) -> str | float | None:
    """Return what a word of the file and one of the device are compared by: a number, or the word in small letters.

    JSON's ``true`` is the word true. None for what is no word: nothing, an empty text, a list.
    """
    if isinstance(raw, bool):
        return "true" if raw else "false"
    number = to_number(raw)
    if number is not None:
        return number
    return raw.strip().casefold() or None if isinstance(raw, str) else None


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the device reports whether the grid is there, and which of its words mean what."""

    place: Place
    on: frozenset[str | float]
    off: frozenset[str | float]

    def judge(self, raw: object) -> bool | None:
        """Return whether the grid is there; None for a word that neither list has."""
        said = canonical(raw)
        if said is None:
            return None
        return True if said in self.on else False if said in self.off else None


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number or a word of the device; of several places the sum."""

    places: tuple[Place, ...]
    scale: float = 1.0
    offset: float = 0.0
    words: Mapping[str | float, str] = field(default_factory=dict)
    text: bool = False
    lowest: float = float("-inf")
    highest: float = float("inf")

    def of(self, told: Mapping[Place, Told]) -> tuple[Value, float] | None:
        """Return the value and the monotonic time of its oldest part; None when a part is missing or impossible."""
        if not all(place in told for place in self.places):
            return None
        at = min(told[place].at for place in self.places)
        first = told[self.places[0]].value
        if self.words:
            said = canonical(first)
            found = None if said is None else self.words.get(said)
            return None if found is None else (found, at)
        if self.text:
            shown = f"{first:g}" if isinstance(first, float) else str(first).strip()
            return (shown, at) if shown and not isinstance(first, bool) and first is not None else None
        numbers = [to_number(told[place].value) for place in self.places]
        total = sum(number for number in numbers if number is not None) * self.scale + self.offset
        return (total, at) if None not in numbers and self.lowest <= total <= self.highest else None

    def number(self, told: Mapping[Place, Told]) -> tuple[float, float] | None:
        """Return :meth:`of` when that is a number."""
        found = self.of(told)
        return (float(found[0]), found[1]) if found is not None and isinstance(found[0], int | float) else None


@dataclass(frozen=True, slots=True)
class Rule:
    """A variable of NUT: ``name`` is the value of ``quantity``, or the text ``constant``."""

    name: str
    quantity: Quantity | None = None
    constant: str = ""
