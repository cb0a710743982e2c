# SPDX-License-Identifier: GPL-2.0-or-later
"""What the backends of house batteries share towards upsd."""

from __future__ import annotations

from collections.abc import Mapping

from nutdrv_py.backend import Backend, Config, Writable
from nutdrv_py.clock import Clock
from nutdrv_py.errors import CommandError, Result
from nutdrv_py.log import Trouble
from nutdrv_py.mapping import to_number
from nutdrv_py.storage import threshold

__all__ = ["HouseBattery", "LowMark", "limit"]

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
