# SPDX-License-Identifier: GPL-2.0-or-later
"""The battery of a described device: which charge to believe, the runtime, CHRG and DISCHRG, by the rules of every backend."""

from __future__ import annotations

from collections.abc import Mapping

from nutdrv_py.backends.mapping.description import Battery as Described
from nutdrv_py.backends.mapping.rules import Quantity
from nutdrv_py.backends.mapping.sources import Place, Told
from nutdrv_py.device.reading import Decline, Status, Value
from nutdrv_py.device.storage import ChargeFilter, Charger, Smoothed, charger_status, runtime
from nutdrv_py.device.trust import Band, Drain, Standstill, Steady, most_power
from nutdrv_py.log import Trouble

__all__ = ["Battery"]

CHARGE_GONE = 600.0
"""Seconds without a charge after which, on the grid, none is shown."""

LOW_UNKNOWN = 20.0
"""Percent: the low mark of a device that tells none."""

MARGIN = 5.0
"""Percentage points above the device's own limit in an island at which LB begins, at least."""

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


class _Setting:
    """A number of the file, or one of the device that is believed by the rules of :class:`Steady`."""

    def __init__(self, part: Quantity | float | None, band: Band) -> None:
        self._part = part
        self._steady = Steady(band)

    def update(self, told: Mapping[Place, Told]) -> float | None:
        if not isinstance(self._part, Quantity):
            return self._part
        found = self._part.number(told)
        return self._steady.value if found is None else self._steady.update(*found)


class Battery:
    """Keeps what must be remembered of the battery between two readings."""

    def __init__(self, described: Described, maxage: float, now: float) -> None:
        self.decline = Decline(low=LOW_UNKNOWN)
        self._power = described.power
        self._maxage = maxage
        self._capacity = _Setting(described.capacity, SIZE)
        self._low = _Setting(described.low, LIMIT)
        self._cutoff = _Setting(described.cutoff, LIMIT)
        self._filter = ChargeFilter()
        self._still = Standstill()
        self._drain = Drain()
        self._smooth = Smoothed()
        self._charger = Charger()
        self._charge: float | None = None
        self._charge_at = float("-inf")
        self._counted_at = now
        self._trouble = Trouble()

    def transferred(self) -> None:
        """The grid has gone or come: the load before says little about the load now."""
        self._smooth.reset()

    def look(
        self,
        told: Mapping[Place, Told],
        shown: dict[str, Value],
        charge_at: float | None,
        now: float,
        *,
        off_grid: bool,
        early: bool,
    ) -> Status:
        """Replace ``battery.charge`` in ``shown``, said at ``charge_at``, by the one to believe; add what follows from it."""
        found = self._power.number(told) if self._power is not None else None
        power = found[0] if found is not None else None
        size, cutoff = self._capacity.update(told), self._cutoff.update(told)
        most = most_power(size, MOST_POWER)
        load = shown.get("ups.realpower")
        watts = float(load) if isinstance(load, int | float) else None
        # On the grid it is the load that the battery would have to carry, whatever it does now.
        drawn = power if off_grid and not early else None if watts is None else min(watts, most)
        drain = max(self._drain.update(drawn, watts, now, most), LEAST_DRAIN)
        smooth = drain if early else self._smooth.update(drain, now)
        raw = shown.pop("battery.charge", None)
        charge = self._believed(raw, charge_at, now, power if off_grid and not early else None, size, off_grid=off_grid)
        direction = self._charger.update(power)
        if charge is not None:
            shown["battery.charge"] = charge
        if power is not None:
            shown["battery.charger.status"] = charger_status(direction, charge)
        if size:
            shown.setdefault("experimental.battery.energy.capacity", round(size))
        if charge is not None and size and "battery.runtime" not in shown and self._drain.measured:
            left = runtime(max(0.0, charge - (cutoff or 0.0)) / 100 * size, smooth)
            if left is not None:
                shown["battery.runtime"] = left
        own = self._low.update(told)
        low = own if own is not None else max(LOW_UNKNOWN, (cutoff or 0.0) + MARGIN)
        self.decline = Decline(
            load=max(drain, min(watts or 0.0, most)), measured=self._drain.measured, capacity=size, charge=charge,
            low=min(99.0, low), cutoff=cutoff, warning=WARNING, by_runtime=not early,
        )  # fmt: skip
        return direction

    def _believed(
        self, told: Value | None, at: float | None, now: float, power: float | None, size: float | None, *, off_grid: bool
    ) -> float | None:
        """Return the charge to go by: as told, unless more was drawn; off the grid counted down while nothing tells it."""
        passed = max(0.0, now - self._counted_at)
        if isinstance(told, int | float) and at is not None and now - at <= self._maxage:
            if at > self._charge_at or self._charge is None:
                charge = self._filter.update(float(told), at)
                points = (power or 0.0) * min(passed, STEP) / 36 / size if size else 0.0
                self._charge = None if charge is None else self._still.update(charge, points, off_grid=off_grid)
                self._charge_at = at
                self._counted_at = now
                self._say_standstill()
        elif off_grid and self._charge is not None:
            if size:
                self._charge = max(0.0, self._charge - max(self._drain.watts, LEAST_DRAIN) * passed / 36 / size)
            self._counted_at = now
        elif not off_grid:
            self._counted_at = now
            if now - self._charge_at > CHARGE_GONE:
                self._charge = None
        return self._charge

    def _say_standstill(self) -> None:
        if self._still.behind:
            self._trouble.report("standstill", "The charge stands still while power is drawn: what was drawn counts")
        else:
            self._trouble.clear("standstill")
