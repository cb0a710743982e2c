# SPDX-License-Identifier: GPL-2.0-or-later
"""What the backends of house batteries share towards upsd."""

from __future__ import annotations

from collections.abc import Mapping

from nutdrv_py.backend import Backend, Config, Writable
from nutdrv_py.clock import Clock
from nutdrv_py.errors import CommandError, Result
from nutdrv_py.mapping import to_number
from nutdrv_py.storage import threshold

__all__ = ["HouseBattery", "limit"]


def limit(
    options: Config, written: Mapping[str, float], name: str, *, option: float | None = None, device: float | None = None
) -> float | None:
    """The limit in force for a variable; ``written`` is what upsrw has set, ``option`` and ``device`` what those say."""
    return threshold(
        name, overrides=options.overrides, defaults=options.defaults, option=option, written=written.get(name), device=device
    )


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
