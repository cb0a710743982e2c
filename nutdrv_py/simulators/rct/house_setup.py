# SPDX-License-Identifier: GPL-2.0-or-later
"""How the simulated house is built, what can be changed about it, and the houses that cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from nutdrv_py.simulators.spelling import nearest
from nutdrv_py.simulators.stories import known_keys, plain_words, right_types

GRID_STATES = ("on", "outage", "reclosing")
"""The grid is there; gone; or there again at the Power Switch, while the inverter waits before it connects."""

CALIBRATIONS = ("none", "low", "high")
"""The battery management finds the ends of the charge: at low voltage, or at high voltage."""

MOST_MODULES = 7
"""Modules of a tower: rctclient's registry has so many serial numbers."""

MOST_TOWERS = 2
"""Towers of a battery: evcc weights the charge of two."""

FAULT_BITS = 128
"""Bits of the four fault registers (rctclient, inverter_faults)."""

MOST_POWER = 5e4
"""W: no house has more, and every field of the inverter can hold it."""

_WORDS: Mapping[tuple[str, Any], Any] = {("calibration", None): "none", ("grid", True): "on"}
"""Other spellings of a value: None in Python, and a bare ``on``, which YAML takes for true."""


@dataclass(frozen=True, slots=True)
class HouseSetup:
    """How the house is built, and its state; every field can be changed while it runs.

    ``load`` and ``pv`` are W, split over three phases and two generators; ``soc``, ``soc2`` (second tower) and the three limits
    percent; ``soh`` percent; ``temperature`` of the battery in degrees Celsius; ``nominal`` W. ``faults`` are numbers of fault
    bits that are set besides those that follow from the house. Times are seconds of simulator time: ``reclose_seconds`` from
    the grid's return to the end of the island, ``dark_seconds`` that the network outlives a grid whose loss stops the inverter,
    ``linger_seconds`` that it outlives an island that has run empty.
    """

    grid: str = "on"
    load: float = 900.0
    load_split: tuple[float, ...] = (0.5, 0.3, 0.2)
    pv: float = 0.0
    pv_split: tuple[float, ...] = (0.6, 0.4)
    night: bool = False
    battery: bool = True
    towers: int = 1
    modules: int = 2
    soc: float = 60.0
    soc2: float = 60.0
    soh: float = 98.0
    temperature: float = 24.0
    soc_min: float = 7.0
    soc_min_island: float = 10.0
    soc_max: float = 97.0
    switch: bool = True
    nominal: float = 6000.0
    calibration: str = "none"
    faults: tuple[int, ...] = ()
    emergency_off: bool = False
    reclose_seconds: float = 60.0
    dark_seconds: float = 0.0
    linger_seconds: float = 30.0
    seed: int = 1

    def __post_init__(self) -> None:
        """Refuse a house that cannot be."""
        for name, value, known in (("grid", self.grid, GRID_STATES), ("calibration", self.calibration, CALIBRATIONS)):
            if value not in known:
                raise ValueError(f'The house\'s {name} cannot be "{value}"{nearest(str(value), known)}.')
        for name in ("soc", "soc2", "soh", "soc_min", "soc_min_island", "soc_max"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"The house's {name} is a percentage from 0 to 100, not {getattr(self, name)}.")
        for name in ("reclose_seconds", "dark_seconds", "linger_seconds"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"The house's {name} cannot be {getattr(self, name)}; it is 0 s or more.")
        for name, least in (("load", 0), ("pv", 0), ("nominal", 1)):
            if not least <= getattr(self, name) <= MOST_POWER:
                raise ValueError(f"The house's {name} is a power from {least} to {MOST_POWER:.0f} W, not {getattr(self, name)}.")
        if not -50 <= self.temperature <= 120:
            raise ValueError(f"The house's temperature is from -50 to 120 degrees Celsius, not {self.temperature}.")
        for name, least, most in (("modules", 0, MOST_MODULES), ("towers", 1, MOST_TOWERS)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"The house's {name} are from {least} to {most}, not {getattr(self, name)}.")
        for name, count in (("load_split", 3), ("pv_split", 2)):
            shares = getattr(self, name)
            if len(shares) != count or not all(_is_number(share) and share >= 0 for share in shares) or not sum(shares):
                raise ValueError(f"The house's {name} needs {count} numbers, none below 0 and not all 0.")
        for bit in self.faults:
            if not isinstance(bit, int) or not 0 <= bit < FAULT_BITS:
                raise ValueError(f"The house's faults are numbers of bits from 0 to {FAULT_BITS - 1}, not {bit!r}.")

    def changed(self, changes: Mapping[str, Any]) -> HouseSetup:
        """Return the setup with these changes; wrong names and values are errors."""
        known_keys(changes, HOUSE_NAMES, "house")
        values = plain_words(changes, _WORDS)
        right_types(values, HouseSetup(), "house")
        return replace(self, **values)


HOUSE_NAMES = tuple(item.name for item in fields(HouseSetup))
"""Everything about the house that can be changed."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
