# SPDX-License-Identifier: GPL-2.0-or-later
"""One poll of a device, in NUT's own words."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Reading", "Status", "Value"]

Value = str | int | float
"""A variable's content: text, a whole number, or a number that is formatted by its name (see :mod:`nutdrv_py.variables`)."""


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
        """The tokens with one space between them, in the order of this class."""
        return " ".join(flag.name or "" for flag in Status if flag in self)


@dataclass(frozen=True, slots=True)
class Reading:
    """One poll of a device. Say everything each time: what did not change costs nothing, what is missing is withdrawn.

    ``values`` are NUT variables without ``ups.status`` and ``ups.alarm``, which come from ``status`` and ``alarms``.
    A reading whose status has none of OL, OB and OFF is refused: upsmon takes an empty status for a dead UPS.
    """

    values: Mapping[str, Value]
    status: Status
    alarms: tuple[str, ...] = ()
    raw: Mapping[str, object] = field(default_factory=dict)
    """The device's own names, for exporters that want more than NUT can say."""
