# SPDX-License-Identifier: GPL-2.0-or-later
"""One poll of a device, in NUT's own words."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Decline", "Reading", "Status", "Value"]

Value = str | int | float
"""A variable's content: text, a whole number, or a number that is formatted by its name (see :mod:`nutdrv_py.core.variables`)."""


class Status(enum.Flag):
    """The tokens of ``ups.status`` (NUT docs/new-drivers.txt, "Status data").

    OL and OB describe the *input line*: a house that runs from its battery while the grid is present is ``OL DISCHRG``.
    ALARM is not here: NUT derives it from the alarms of a reading.
    """

    OL = enum.auto()
    OB = enum.auto()
    LB = enum.auto()
    HB = enum.auto()
    RB = enum.auto()
    CHRG = enum.auto()
    DISCHRG = enum.auto()
    BYPASS = enum.auto()
    CAL = enum.auto()
    OFF = enum.auto()
    OVER = enum.auto()
    TRIM = enum.auto()
    BOOST = enum.auto()
    FSD = enum.auto()

    def __str__(self) -> str:
        """Return the tokens with one space between them, in the order of this class."""
        return " ".join(flag.name or "" for flag in Status if flag in self)

    @classmethod
    def parse(cls, text: str) -> tuple[Status, tuple[str, ...]]:
        """Return the tokens in an ``ups.status``, and the words in it that are none; ALARM is left out of both."""
        status, unknown = cls(0), []
        for word in text.split():
            flag = cls.__members__.get(word.upper())
            if flag is not None:
                status |= flag
            elif word.upper() != "ALARM":
                unknown.append(word)
        return status, tuple(unknown)

    @property
    def says_supply(self) -> bool:
        """Return whether it has OL or OB, not both, or OFF without OL. Anything else upsmon misreads."""
        on_line, on_battery = Status.OL in self, Status.OB in self
        return on_line != on_battery or (Status.OFF in self and not on_line)


@dataclass(frozen=True, slots=True)
class Decline:
    """How the battery goes on while nothing more is heard, and the device's own limits.

    Off the grid the charges fall by ``load`` W out of ``capacity`` Wh until the device answers again.
    """

    load: float = 0.0
    """W that the battery loses off the grid, at least 0."""
    measured: bool = True
    """Whether ``load`` follows from a power that was reported; False for an assumption."""
    capacity: float | None = None
    """Wh of the full battery; None when unknown: then only the runtime counts down."""
    charge: float | None = None
    """Percent that decide on LB where they are not ``battery.charge``: of the batteries that carry an island, for example."""
    falling: tuple[str, ...] = ("battery.charge",)
    """Variables in percent that fall with the charge."""
    low: float | None = None
    """The device's own low mark in percent, used when no other is set; None while it is not known."""
    cutoff: float | None = None
    """Percent at which the device ends the island: a lower mark would never be reached and is raised above it."""
    warning: float | None = None
    """Percentage points above the low mark for ``battery.charge.warning``; None: that variable is not the driver's."""
    recharged: bool = False
    """Whether a generator carries the house off the grid and charges the battery, both reported now; False when in doubt."""
    by_runtime: bool = True
    """Whether ``battery.runtime`` may make LB; False while it follows from powers measured before the transfer."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One poll of a device. Hold everything each time: what did not change costs nothing, what is missing is withdrawn.

    ``values`` are NUT variables without ``ups.status`` and ``ups.alarm``, which come from ``status`` and ``alarms``.
    A reading without OL, OB and OFF is refused: upsmon takes an empty status for a dead UPS.
    """

    values: Mapping[str, Value]
    status: Status
    alarms: tuple[str, ...] = ()
    raw: Mapping[str, object] = field(default_factory=dict)
    """The device's own names, for exporters that want more than NUT has variables for."""
    raw_times: Mapping[str, float] = field(default_factory=dict)
    """Monotonic times at which the device reported what is in ``raw``; without one it is as old as the reading."""
    at: float | None = None
    """Monotonic time at which the device reported this; None: now. The reading ages from here, also when it was kept
    somewhere."""
    decline: Decline | None = None
    """How charge and runtime fall while the device is silent; None: the runtime counts down, the charge stays."""
