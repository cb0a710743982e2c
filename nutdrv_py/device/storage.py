# SPDX-License-Identifier: GPL-2.0-or-later
"""What every home battery shares: charging or not, runtime, and which charge to believe. Pure.

Powers are in W with storage + = discharging, energies in Wh, charge in percent, times in seconds.
"""

from __future__ import annotations

from nutdrv_py.device.reading import Status

__all__ = ["CONFIRMATION", "SAMPLES", "ChargeFilter", "Charger", "Smoothed", "battery_flow", "charger_status", "flow", "runtime"]

DEAD_BAND = 50.0
DEAD_BAND_PACK = 30.0
"""Minimum W of storage power around zero that mean "resting", and for each pack: an idle one shows 16 to 24 W."""

DEAD_BAND_EXIT = 30.0
DEAD_BAND_EXIT_PACK = 25.0
"""W below which a charging or discharging battery is called resting again (hysteresis, so that the status does not chatter)."""

QUIET = 10.0
"""W below which a meter counts as 0: an idle one seldom shows 0."""

FULL = 99.0
"""Percent of charge from which a resting battery is called floating."""

SMOOTHING = 60.0
"""Seconds over which the load is averaged for the runtime: a kettle must not halve it."""

LONGEST = 172800
"""Seconds; a longer runtime is shown as this (two days), as enphase-monitor does."""

LEAST_LOAD = 30.0
"""W; below it no runtime is given, because the quotient would be noise."""

PLAUSIBLE_DROP = 10.0
"""Percentage points that a charge may fall at once (by the device's own correction); more is believed only if it stays."""

FASTEST = 100 / 3600
"""Percentage points per second that a charge may fall besides: no house empties its battery within an hour."""

SAMPLES = 3
"""Minimum consecutive readings before an implausible charge is believed, besides :data:`CONFIRMATION`."""

CONFIRMATION = 120.0
"""Seconds for which an implausible drop of the charge must stay before it is believed. Gateways answer 0 after a reboot;
a true drop of that kind costs two minutes of the half hour and more that the low mark leaves."""

GAP = 60.0
"""Seconds without a reading after which that waiting begins anew."""


class Charger:
    """Whether the battery charges, discharges or rests, with a dead band and hysteresis."""

    def __init__(self) -> None:
        self._state = Status(0)

    def update(self, power: float | None, packs: int = 1) -> Status:
        """Return CHRG, DISCHRG or nothing for a storage power in W (+ = discharging) of so many packs; nothing when unknown."""
        if power is None:
            self._state = Status(0)
            return self._state
        band = max(DEAD_BAND, DEAD_BAND_PACK * packs)
        limit = max(DEAD_BAND_EXIT, DEAD_BAND_EXIT_PACK * packs) if self._state else band
        wanted = Status.DISCHRG if power > 0 else Status.CHRG
        turned = bool(self._state) and wanted != self._state
        if abs(power) <= limit or (turned and abs(power) <= band):
            wanted = Status(0)
        self._state = wanted
        return wanted


def charger_status(direction: Status, charge: float | None) -> str:
    """Return ``battery.charger.status``: charging, discharging, floating or resting."""
    if direction is Status.CHRG:
        return "charging"
    if direction is Status.DISCHRG:
        return "discharging"
    return "floating" if charge is not None and charge >= FULL else "resting"


def flow(watts: float) -> int:
    """Return 1 for a power above zero, -1 for one below, 0 for one that is closer to zero than :data:`QUIET`."""
    return 0 if abs(watts) < QUIET else 1 if watts > 0 else -1


def battery_flow(watts: float, status: Status, charger: str | None) -> int:
    """Return 1 while the battery discharges, -1 while it charges, 0 while it rests, in agreement with ``ups.status``.

    ``watts`` (+ = discharging) decide only for a source that publishes neither CHRG nor DISCHRG nor ``battery.charger.status``.
    """
    if Status.DISCHRG in status:
        return 1
    if Status.CHRG in status:
        return -1
    return flow(watts) if charger is None else 0


class Smoothed:
    """A power averaged exponentially over :data:`SMOOTHING` seconds."""

    def __init__(self) -> None:
        self._value: float | None = None
        self._at = 0.0

    def update(self, value: float, now: float) -> float:
        """Take in a reading made at monotonic time ``now``; returns the average."""
        if self._value is None:
            self._value = value
        else:
            weight = min(1.0, max(0.0, now - self._at) / SMOOTHING)
            self._value += (value - self._value) * weight
        self._at = now
        return self._value

    def reset(self) -> None:
        """Forget the past: the load before an outage is no measure of the load in it."""
        self._value = None


class ChargeFilter:
    """Holds back a charge that falls faster than a battery can, until it has stayed.

    It must stay for ``confirmation`` seconds (0, which devices report before they have measured, for :data:`CONFIRMATION`) and
    :data:`SAMPLES` readings without a long gap: one zero before a restart of the device and one after it are not a minute of
    zeros. A first reading of 0 is doubted too.
    """

    def __init__(self, confirmation: float = CONFIRMATION) -> None:
        self._confirmation = confirmation
        self._good: float | None = None
        self._good_at = 0.0
        self._last_at = 0.0
        self._suspect_since: float | None = None
        self._samples = 0

    def update(self, charge: float, now: float) -> float | None:
        """Return the charge to believe at monotonic time ``now``: this one, else the last believed one, else None."""
        if not self._doubtful(charge, now):
            self._suspect_since, self._samples = None, 0
            self._good, self._good_at, self._last_at = charge, now, now
            return charge
        if self._suspect_since is None or now - self._last_at > GAP:
            self._suspect_since, self._samples = now, 0
        if now > self._last_at or not self._samples:
            self._samples += 1
        self._last_at = now
        wait = self._confirmation if charge > 0 else CONFIRMATION
        if now - self._suspect_since >= wait and self._samples >= SAMPLES:
            self._suspect_since, self._samples = None, 0
            self._good, self._good_at = charge, now
        return self._good

    def _doubtful(self, charge: float, now: float) -> bool:
        if self._good is None:
            return charge == 0
        possible = PLAUSIBLE_DROP + max(0.0, now - self._good_at) * FASTEST
        return self._good - charge > min(possible, 100.0 if charge > 0 else PLAUSIBLE_DROP)

    @property
    def suspicious(self) -> bool:
        """Return whether the last charge was held back."""
        return self._suspect_since is not None


def runtime(energy: float, load: float) -> int | None:
    """Return the seconds for which ``energy`` Wh carries ``load`` W; None when the load is too small."""
    if load < LEAST_LOAD:
        return None
    return int(min(LONGEST, max(0.0, energy) * 3600.0 / load))
