# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens to a device and a driver, as :mod:`~nutdrv_py.core.freshness` takes it in: values, each with its time.

Every time is in monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from nutdrv_py.core.lowbattery import Wishes
from nutdrv_py.device.reading import Reading

__all__ = [
    "Accepted", "Changed", "Disowned", "Early", "Event", "Failed", "Leave", "Limited", "Limits", "Opened", "Polled", "Tick",
]  # fmt: skip

MUTE_SHARE = 0.5
"""Part of ``maxage`` after which loud tokens are withdrawn on the grid."""

POLL_SLACK = 1.5
"""Seconds that a poll may take: within them loud tokens are not withdrawn, however short ``maxage`` is."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds: between two polls, of data that may be served, and between two looks of any upsmon at most."""

    pollinterval: float
    maxage: float
    looks: float

    @property
    def mute(self) -> float:
        """Return the age in seconds at which loud tokens are withdrawn on the grid; never while polls come at their rate."""
        return min(max(self.maxage * MUTE_SHARE, self.pollinterval + POLL_SLACK), self.maxage)


@dataclass(frozen=True, slots=True)
class _Event:
    at: float


@dataclass(frozen=True, slots=True)
class _Heard(_Event):
    reading: Reading


class Polled(_Heard):
    """A poll ended well. ``reading.at`` is when the device reported it; None: at ``at``."""

    __slots__ = ()


class Early(_Heard):
    """A poll that is under way has something that cannot wait."""

    __slots__ = ()


class Failed(_Event):
    """A poll ended without a usable answer."""

    __slots__ = ()


class Disowned(_Event):
    """The device answered that its own data are stale."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Accepted(_Event):
    """The device has taken a value that a client has set; it is shown before the next poll returns it."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Changed(_Event):
    """Low marks were set or reloaded."""

    wishes: Wishes


@dataclass(frozen=True, slots=True)
class Limited(_Event):
    """The limits were reloaded."""

    limits: Limits


class Leave(_Event):
    """The driver is to end in an orderly way."""

    __slots__ = ()


class Tick(_Event):
    """Time has passed."""

    __slots__ = ()


class Opened(_Event):
    """From now on upsd can see what is served; nothing was seen before."""

    __slots__ = ()


Event = Polled | Early | Failed | Disowned | Accepted | Changed | Limited | Leave | Tick | Opened
