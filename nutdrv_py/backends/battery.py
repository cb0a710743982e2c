# SPDX-License-Identifier: GPL-2.0-or-later
"""What the backends of house batteries share towards upsd."""

from __future__ import annotations

from collections.abc import Mapping

from nutdrv_py.backend import Backend, Config, Writable
from nutdrv_py.clock import Clock
from nutdrv_py.errors import CommandError, Result
from nutdrv_py.mapping import to_number

__all__ = ["HouseBattery"]


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
