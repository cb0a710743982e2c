# SPDX-License-Identifier: GPL-2.0-or-later
"""What every home battery shares: low battery, charging or not, runtime, and how to go on while blind. Pure functions.

Powers are in W with storage + = discharging, energies in Wh, charge in percent, times in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nutdrv_py.device.mapping import to_number
from nutdrv_py.device.reading import Reading, Status, Value

__all__ = ["ChargeFilter", "Charger", "Short", "Smoothed", "charger_status", "coast", "is_low", "runtime", "threshold"]

DEAD_BAND = 50.0
DEAD_BAND_PACK = 30.0
"""W of storage power around zero that mean "resting", at least, and for each pack: an idle one shows 16 to 24 W."""

DEAD_BAND_EXIT = 30.0
DEAD_BAND_EXIT_PACK = 25.0
"""W below which a charging or discharging battery is called resting again (hysteresis, so that the status does not chatter)."""

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
"""Readings that an implausible charge must hold, besides :data:`CONFIRMATION`."""

CONFIRMATION = 120.0
"""Seconds for which an implausible drop of the charge must stay before it is believed. Gateways answer 0 after a reboot;
a true drop of that kind costs two minutes of the half hour and more that the low mark leaves."""

SHORT = 20.0
"""Seconds for which the runtime must stay at or below ``battery.runtime.low`` before it makes LB: a kettle is no reason."""

GAP = 60.0
"""Seconds without a reading after which that waiting begins anew."""


class Charger:
    """Whether the battery charges, discharges or rests, with a dead band and hysteresis."""

    def __init__(self) -> None:
        self._state = Status(0)

    def update(self, power: float | None, packs: int = 1) -> Status:
        """CHRG, DISCHRG or nothing for a storage power in W (+ = discharging) of so many packs; nothing when unknown."""
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
    """``battery.charger.status``: charging, discharging, floating or resting."""
    if direction is Status.CHRG:
        return "charging"
    if direction is Status.DISCHRG:
        return "discharging"
    return "floating" if charge is not None and charge >= FULL else "resting"


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
        """Forget the past: the load before an outage says little about the load in it."""
        self._value = None


class Short:
    """Whether the runtime has been at or below its low mark for :data:`SHORT` seconds."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._for = 0.0

    def update(self, left: float | None, low: float | None, now: float) -> bool:
        """Take in the runtime and its mark, in seconds, at monotonic time ``now``."""
        if not is_low(None, None, left, low):
            self._since, self._for = None, 0.0
            return False
        self._since = self._since if self._since is not None else now
        self._for = now - self._since
        return self._for >= SHORT

    def after(self, seconds: float) -> bool:
        """Whether it will have lasted long enough so many seconds after the last update, if nothing is heard until then."""
        return self._for + seconds >= SHORT


class ChargeFilter:
    """Holds back a charge that falls faster than a battery can, until it has stayed.

    It must stay for ``confirmation`` seconds (0, which devices say that know nothing yet, for :data:`CONFIRMATION`) and
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
        """The charge to believe at monotonic time ``now``: this one, else the last believed one, else None."""
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
        """Whether the last charge was held back."""
        return self._suspect_since is not None


def runtime(energy: float, load: float) -> int | None:
    """Seconds for which ``energy`` Wh carries ``load`` W; None when the load is too small to say."""
    if load < LEAST_LOAD:
        return None
    return min(LONGEST, int(max(0.0, energy) * 3600.0 / load))


def is_low(
    charge: float | None, charge_low: float | None, seconds: float | None = None, seconds_low: float | None = None
) -> bool:
    """Whether the charge has reached its low mark, or the runtime its own. What is unknown is not low."""
    by_charge = charge is not None and charge_low is not None and charge <= charge_low
    by_runtime = seconds is not None and seconds_low is not None and seconds <= seconds_low
    return by_charge or by_runtime


def threshold(
    name: str,
    *,
    overrides: Mapping[str, str],
    defaults: Mapping[str, str],
    option: float | None = None,
    written: float | None = None,
    device: float | None = None,
) -> float | None:
    """The limit in force: ``override.<name>``, the option, what upsrw wrote, ``default.<name>``, the device's own; first wins."""
    wishes = (overrides.get(name), option, written, defaults.get(name), device)
    return next((found for wish in wishes if (found := to_number(wish)) is not None), None)


def coast(
    reading: Reading,
    seconds: float,
    *,
    load: float | None = None,
    capacity: float | None = None,
    charge: str = "battery.charge",
    left: str = "battery.runtime",
    charge_low: float | None = None,
    runtime_low: float | None = None,
) -> Reading:
    """The reading ``seconds`` later, while the device cannot be asked.

    On the grid nothing changes. On battery the runtime counts down and the charge falls by ``load`` W out of ``capacity``
    Wh, so that LB comes in time although nobody answers. LB never comes on the grid and never goes while coasting.
    """
    if Status.OB not in reading.status or seconds <= 0:
        return reading
    values: dict[str, Value] = dict(reading.values)
    percent = to_number(values.get(charge))
    if percent is not None and load is not None and capacity:
        percent = max(0.0, percent - max(0.0, load) * seconds / 3600.0 / capacity * 100.0)
        values[charge] = int(percent) if isinstance(values[charge], int) else percent
    remaining = to_number(values.get(left))
    if remaining is not None:
        remaining = max(0.0, remaining - seconds)
        values[left] = int(remaining)
    status = reading.status
    if is_low(percent, charge_low, remaining, runtime_low):
        status |= Status.LB
    return replace(reading, values=values, status=status)
