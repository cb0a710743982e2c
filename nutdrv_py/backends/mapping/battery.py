# SPDX-License-Identifier: GPL-2.0-or-later
"""The battery of a described device: what its file names, judged by the rules of every house battery."""

from __future__ import annotations

from collections.abc import Mapping

from nutdrv_py.backends.mapping.description import Battery as Described
from nutdrv_py.backends.mapping.rules import Quantity
from nutdrv_py.backends.mapping.sources import Place, Told
from nutdrv_py.device.house import LOW_UNKNOWN, HouseBattery
from nutdrv_py.device.reading import Decline, Status, Value

__all__ = ["Battery"]


class Battery:
    """Keeps what must be remembered of the battery between two readings."""

    def __init__(self, described: Described, maxage: float, now: float) -> None:
        self.decline = Decline(low=LOW_UNKNOWN)
        self._power = described.power
        self._house = house = HouseBattery(now, maxage)
        self._settings = [(described.capacity, house.size), (described.low, house.low), (described.cutoff, house.cutoff)]
        for part, setting in self._settings:
            if isinstance(part, int | float):
                setting.value = part

    def transferred(self) -> None:
        """Forget the load: the grid has gone or come, and the load before is no measure of the load now."""
        self._house.transferred()

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
        """Replace ``battery.charge`` in ``shown``, reported at ``charge_at``, by the one to believe; add what follows from it."""
        for part, setting in self._settings:
            if isinstance(part, Quantity) and (found := part.number(told)) is not None:
                setting.update(*found)
        power = self._power.number(told) if self._power is not None else None
        believed = self._house.update(
            now, off_grid=off_grid, early=early, charge=_number(shown.pop("battery.charge", None)), charge_at=charge_at,
            power=power[0] if power is not None else None, load=_number(shown.get("ups.realpower")),
        )  # fmt: skip
        for name, value in believed.values.items():
            # The device's own runtime and size come first.
            shown.setdefault(name, value)
        self.decline = believed.decline
        return believed.status


def _number(value: Value | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None
