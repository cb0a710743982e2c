# SPDX-License-Identifier: GPL-2.0-or-later
"""The battery of a house: which charge to believe, the runtime, CHRG and DISCHRG, and how it goes on in silence.

A backend reads numbers; whether they can be true is decided here, by the same rules for each device. Powers are in W with + for
discharging, energies in Wh, charges in percent, times in monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nutdrv_py.device.reading import Decline, Status, Value
from nutdrv_py.device.storage import ChargeFilter, Charger, Smoothed, charger_status, runtime
from nutdrv_py.device.trust import NOT_FALLING, Band, Drain, Standstill, Steady, most_power
from nutdrv_py.log import Trouble

__all__ = ["LIMIT", "LOW_UNKNOWN", "MARGIN", "SIZE", "Believed", "HouseBattery"]

CHARGE_GONE = 600.0
"""Seconds without a charge after which none is shown, on the grid, or off it if it cannot be counted down."""

LOW_UNKNOWN = 20.0
"""Percent: the low mark of a device that reports none."""

MARGIN = 5.0
"""Minimum percentage points above the device's own limit in an island at which LB begins."""

WARNING = 10.0
"""Percentage points above the low mark for ``battery.charge.warning``."""

LEAST_DRAIN = 100.0
"""W: the runtime is never reckoned with less, because a house never takes less for long."""

LIMIT = Band(0, 90, 0, 50, step=5)
"""Percent: the device's own marks."""

SIZE = Band(100, 1e6, 500, 3e5, share=0.3, rises=True)
"""Wh of the full battery."""

MOST_POWER = 20000.0
"""W that a battery gives at most while its size is not known."""

STEP = 30.0
"""Seconds between two readings up to which the power counts as drawn all the time."""


@dataclass(frozen=True, slots=True)
class Believed:
    """What :meth:`HouseBattery.update` makes of a poll."""

    status: Status
    """CHRG, DISCHRG, or nothing."""
    charge: float | None
    """Percent to go by; None when there is none."""
    runtime: int | None
    """Seconds that the charge carries the load; None without a size, a charge or a measured power."""
    decline: Decline
    """For :attr:`Reading.decline <nutdrv_py.device.reading.Reading.decline>`."""
    values: dict[str, Value] = field(default_factory=dict)
    """The same as NUT's variables, to be put into :attr:`Reading.values <nutdrv_py.device.reading.Reading.values>`."""


class HouseBattery:
    """Keeps what must be remembered of a battery between two polls.

    ``now`` is the time at which the backend begins. A charge counts as reported for ``charge_age`` seconds. ``size`` and
    ``limit`` bound the device's own size and marks; ``least`` is the size in Wh to count the charge down with while none is
    known (None: then only the runtime falls); ``charges`` filters the charge.
    """

    def __init__(
        self, now: float, charge_age: float, *, size: Band = SIZE, limit: Band = LIMIT, least: float | None = None,
        charges: ChargeFilter | None = None,
    ) -> None:  # fmt: skip
        self.size = Steady(size)
        """Wh of the full battery: call ``size.update(wh, at)`` with what the device says, or set ``size.value`` once."""
        self.cutoff = Steady(limit)
        """Percent at which the device ends the island, in the same way."""
        self.low = Steady(limit)
        """The device's own low mark in percent, in the same way."""
        self._charge_age = charge_age
        self._least = least
        self._filter = charges or ChargeFilter()
        self._still = Standstill()
        self._drain = Drain()
        self._smooth = Smoothed()
        self._charger = Charger()
        self._charge: float | None = None
        self._charge_at = float("-inf")
        self._counted_at = now
        self._trouble = Trouble()

    def transferred(self) -> None:
        """Forget the load: the grid has gone or come, and what was drawn before is no measure of what is drawn now."""
        self._smooth.reset()

    def update(
        self,
        now: float,
        *,
        off_grid: bool,
        charge: float | None,
        charge_at: float | None = None,
        power: float | None = None,
        load: float | None = None,
        early: bool = False,
        packs: int = 1,
        usable: float = 1.0,
    ) -> Believed:
        """Take in one poll made at ``now``, and return what to believe.

        ``charge`` was reported at ``charge_at`` (None: now), ``power`` flows out of the battery, ``load`` is what the house uses;
        None for what the device does not report. ``early``: the grid has just changed, and the powers are from before. ``packs``
        is the number of batteries, of which each shows some power when it rests; ``usable`` the part of the energy that
        reaches the house.
        """
        size, cutoff = self.size.value, self.cutoff.value
        most = most_power(size, MOST_POWER)
        # On the grid it is the load that the battery would have to carry, whatever it does now.
        drawn = power if off_grid and not early else None if load is None else min(load, most)
        drain = max(self._drain.update(drawn, load, now, most), LEAST_DRAIN)
        smooth = drain if early else self._smooth.update(drain, now)
        flowing = None if early or not off_grid else power
        believed = self._believe(charge, now if charge_at is None else charge_at, now, flowing, off_grid=off_grid)
        direction = self._charger.update(power, packs)
        left = None
        if believed is not None and size and self._drain.measured:
            left = runtime(max(0.0, believed - (cutoff or 0.0)) / 100 * size * usable, smooth)
        low = self.low.value if self.low.value is not None else max(LOW_UNKNOWN, (cutoff or 0.0) + MARGIN)
        decline = Decline(
            load=max(drain, min(load or 0.0, most)), measured=self._drain.measured, capacity=size or self._least, charge=believed,
            low=min(99.0, low), cutoff=cutoff, warning=WARNING, by_runtime=not early,
        )  # fmt: skip
        shown: dict[str, Value | None] = {
            "battery.charge": believed,
            "battery.runtime": left,
            "battery.charger.status": charger_status(direction, believed) if power is not None else None,
            "experimental.battery.energy.capacity": round(size) if size else None,
        }
        values = {name: value for name, value in shown.items() if value is not None}
        return Believed(direction, believed, left, decline, values)

    def _believe(self, told: float | None, at: float, now: float, power: float | None, *, off_grid: bool) -> float | None:
        """Return the charge to go by: as reported, unless more was drawn; off the grid counted down while it is missing."""
        passed, size = max(0.0, now - self._counted_at), self.size.value or self._least
        if told is not None and now - at <= self._charge_age:
            if at > self._charge_at or self._charge is None:
                charge = self._filter.update(told, at)
                points = (power or 0.0) * min(passed, STEP) / 36 / size if size else 0.0
                self._charge = None if charge is None else self._still.update(charge, points, off_grid=off_grid)
                self._charge_at = at
                self._counted_at = now
                self._note_standstill()
        elif off_grid and self._charge is not None:
            if size:
                self._charge = max(0.0, self._charge - max(self._drain.watts, LEAST_DRAIN) * passed / 36 / size)
            elif now - self._charge_at > CHARGE_GONE:
                # It cannot be counted down: shown as it was it would hide an empty battery, without it the driver warns.
                self._charge = None
            self._counted_at = now
        elif not off_grid:
            self._counted_at = now
            if now - self._charge_at > CHARGE_GONE:
                self._charge = None
        return self._charge

    def _note_standstill(self) -> None:
        if self._still.behind:
            self._trouble.report("standstill", NOT_FALLING)
        else:
            self._trouble.clear("standstill")
