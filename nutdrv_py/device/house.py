# SPDX-License-Identifier: GPL-2.0-or-later
"""What the backends of house batteries share towards upsd."""

from __future__ import annotations

import math
from collections.abc import Mapping

from nutdrv_py.clock import Clock
from nutdrv_py.device.backend import Backend, Config, Writable
from nutdrv_py.device.findings import Finding, failed, ok, warning
from nutdrv_py.device.mapping import to_number
from nutdrv_py.device.storage import threshold
from nutdrv_py.errors import CommandError, Result
from nutdrv_py.log import Trouble

__all__ = ["HouseBattery", "LowMark", "limit", "low_mark"]

ABOVE = 1.0
"""Percent of charge that the low mark stays above the device's own limit, at least."""


def limit(
    options: Config, written: Mapping[str, float], name: str, *, option: float | None = None, device: float | None = None
) -> float | None:
    """The limit in force for a variable; ``written`` is what upsrw has set, ``option`` and ``device`` what those say."""
    return threshold(
        name, overrides=options.overrides, defaults=options.defaults, option=option, written=written.get(name), device=device
    )


class LowMark:
    """``battery.charge.low`` in force: as it was set, but always above the charge at which the device switches the house off.

    ``written`` is what upsrw has set, by variable. A lower mark would never be reached, and nothing would be shut down.
    """

    def __init__(self, written: Mapping[str, float]) -> None:
        self._written = written
        self._trouble = Trouble()

    def of(self, options: Config, *, device: float | None, cutoff: float | None) -> float | None:
        """In percent; ``device`` is the mark when nobody has set one, ``cutoff`` where the device ends the island."""
        found = limit(options, self._written, "battery.charge.low", option=options.lowbatt, device=device)
        if found is None or cutoff is None or found > cutoff:
            self._trouble.clear("low")
            return found
        mark = min(99.0, cutoff + ABOVE)
        self._trouble.report(
            "low",
            f"battery.charge.low = {found:g} would be too late: at {cutoff:g} % the device switches the house off. LB comes at "
            f"{mark:g} %; set lowbatt or override.battery.charge.low higher, or leave them out",
        )
        return mark


def low_mark(low: float, limit: float | None, margin: float, *, runtime: bool) -> Finding:
    """Whether LB leaves the servers time: it was set to begin at ``low``, at ``limit`` the device switches the house off.

    Both in percent of charge, the limit None when the device does not tell it; ``margin`` percentage points between them are
    enough. ``runtime`` tells that battery.runtime.low is set, which makes LB too.
    """
    shown = "is not told" if limit is None else f"is {limit:g} %"
    text = f"LB is set to begin at {low:g} % of charge, the device's own limit in an outage {shown}"
    stop = limit or 0.0
    wanted = min(99, math.ceil(stop + margin))
    advice = f"write lowbatt = {wanted} or more into its section in ups.conf, and no override.battery.charge.low"
    if low <= stop and not runtime:
        return failed("low", f"{text}: it comes just above that, maybe too late for the servers to stop", advice)
    if low <= stop:
        return warning("low", f"{text}: only battery.runtime.low makes LB in time", advice)
    if low < stop + margin:
        return warning("low", f"{text}: little is left for the servers to stop", advice)
    return ok("low", text)


class HouseBattery(Backend):
    """A house battery: read-only, but for the low mark of the charge, which is the driver's own."""

    def __init__(self, config: Config, clock: Clock) -> None:
        super().__init__(config, clock)
        self.written: dict[str, float] = {}
        """Limits that upsrw has set, by variable. Kept until the driver ends."""

    @property
    def writable(self) -> Mapping[str, Writable]:
        """``battery.charge.low``, unless ``lowbatt`` fixes it."""
        return {} if self.config.lowbatt is not None else {"battery.charge.low": Writable(ranges=((1, 99),))}

    async def set(self, name: str, value: str) -> None:
        """Set the low mark of the charge."""
        number = to_number(value)
        if name != "battery.charge.low" or number is None:
            raise CommandError(f"{name} cannot be set", Result.UNKNOWN)
        self.written[name] = number
