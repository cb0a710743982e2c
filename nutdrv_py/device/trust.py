# SPDX-License-Identifier: GPL-2.0-or-later
"""When to believe what decides on LB: a setting that jumps, a power that no battery has, a charge that does not fall. Pure.

Powers are in W, energies in Wh, charges in percent, times in monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from nutdrv_py.device.storage import CONFIRMATION, SAMPLES

__all__ = ["NOT_FALLING", "Band", "Drain", "Standstill", "Steady", "most_power"]

DRAIN_AGE = 180.0
"""Seconds for which a power counts. Later the sun may have gone, and the load may be lost as well."""

ASSUMED_DRAIN = 1000.0
"""W that the battery is assumed to lose off the grid before any power was reported: a house in the evening."""

C_RATE = 2.0
"""Maximum power of a battery in W for each Wh that it holds; home batteries stay below 1.5 (IQ Battery 5P, peak)."""

DIFFERENCE = 5.0
"""Percentage points that may be drawn while the reported charge does not fall; then what was drawn counts."""

MOVED = 1.0
"""Percentage points by which a charge must fall to have moved: devices report whole percents."""

NOT_FALLING = "The reported charge does not fall while the battery discharges; it is counted down by the power drawn"
"""The log line of both kinds of batteries while a :class:`Standstill` is behind."""


@dataclass(frozen=True, slots=True)
class Band:
    """What a setting can be (``lowest`` to ``highest``), and what it usually is (``usual_low`` to ``usual_high``)."""

    lowest: float
    highest: float
    usual_low: float
    usual_high: float
    step: float = 0.0
    """Difference from the last value that needs no confirmation."""
    share: float = 0.0
    """The same as a part of the last value."""
    rises: bool = False
    """Whether a higher value needs the answers, but not the time: a size is reported while the parts are still being found."""


class Steady:
    """A setting or a size that seldom changes. What jumps, or is unusual at first, counts when it has stayed."""

    def __init__(self, band: Band) -> None:
        self.value: float | None = None
        """The value to believe; None before there is one."""
        self._band = band
        self._at: float | None = None
        self._candidate: float | None = None
        self._since = 0.0
        self._samples = 0

    def update(self, told: float | None, at: float) -> float | None:
        """Take in the value reported at ``at``; return the one to believe.

        A jump must stay for :data:`~nutdrv_py.device.storage.CONFIRMATION` seconds and
        :data:`~nutdrv_py.device.storage.SAMPLES` answers. What cannot be is ignored.
        """
        band = self._band
        if told is None or at == self._at or not band.lowest <= told <= band.highest:
            return self.value
        self._at = at
        usual = band.usual_low <= told <= band.usual_high if self.value is None else self._near(told, self.value)
        if not usual:
            if self._candidate is None or not self._near(told, self._candidate):
                self._candidate, self._since, self._samples = told, at, 0
            self._samples += 1
            wait = 0.0 if band.rises and self.value is not None and told > self.value else CONFIRMATION
            if self._samples < SAMPLES or at - self._since < wait:
                return self.value
        self.value, self._candidate = told, None
        return told

    def _near(self, told: float, value: float) -> bool:
        return abs(told - value) <= max(self._band.step, self._band.share * abs(value))


def most_power(capacity: float | None, otherwise: float) -> float:
    """Return the most W that a battery of ``capacity`` Wh gives; ``otherwise`` while the capacity is not known."""
    return C_RATE * capacity if capacity else otherwise


class Drain:
    """What the battery loses off the grid, as far as is known: never less than was measured last."""

    def __init__(self) -> None:
        self.watts = ASSUMED_DRAIN
        """W to count down with."""
        self._told: float | None = None
        self._told_at = 0.0
        self._load = ASSUMED_DRAIN
        self._load_told = False

    @property
    def measured(self) -> bool:
        """Return whether any power was ever reported."""
        return self._told is not None or self._load_told

    def update(self, told: float | None, load: float | None, now: float, most: float) -> float:
        """Take in what the battery reports to lose (``told``) and what the house uses; None for what is not reported now.

        A reported power above ``most`` is ignored, a load above it counts as ``most``: the battery cannot give more.
        """
        if load is not None and load > 0:
            self._load, self._load_told = min(load, most), True
        if told is not None and told <= most:
            self._told, self._told_at = max(0.0, told), now
        if self._told is None:
            self.watts = self._load
        else:
            fresh = now - self._told_at <= DRAIN_AGE
            self.watts = self._told if fresh else max(self._told, self._load)
        # What was reported before the size of the battery was known may be more than it can give.
        self.watts = min(self.watts, most)
        return self.watts


class Standstill:
    """Compares the reported charge with the energy that is drawn; a charge that does not fall is not believed for ever."""

    def __init__(self) -> None:
        self.behind = 0.0
        """Percentage points that the believed charge lies below the reported one."""
        self._anchor: float | None = None
        self._drawn = 0.0

    def update(self, told: float, drawn: float, *, off_grid: bool) -> float:
        """Return the charge to believe; ``drawn`` are the points drawn, by the reported power, since the last call."""
        if not off_grid:
            self._anchor, self._drawn, self.behind = told, 0.0, 0.0
            return told
        if self._anchor is None:
            self._anchor = told
        self._drawn += max(0.0, drawn)
        fall = self._anchor - told
        excess = self._drawn - fall
        if fall < 0:
            self.behind = max(0.0, self.behind + fall)
        elif self.behind:
            # It has been wrong: from now on each difference counts, also when the device catches up.
            self.behind = max(0.0, self.behind + excess)
        elif fall < MOVED and excess > DIFFERENCE:
            self.behind = excess
        elif fall < MOVED:
            return told
        self._anchor, self._drawn = told, 0.0
        return max(0.0, told - self.behind)
