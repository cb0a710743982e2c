# SPDX-License-Identifier: GPL-2.0-or-later
"""The batteries of a simulated house: what they give, what they take, and when they are full or empty."""

from __future__ import annotations

from dataclasses import dataclass

EPSILON = 1e-9


@dataclass(slots=True)
class Batteries:
    """All batteries of one kind that work: ``number`` packs of ``pack_wh`` and ``pack_w`` with one charge, percent."""

    number: int
    pack_wh: float
    pack_w: float
    soc: float

    @property
    def capacity_wh(self) -> float:
        """Return the usable capacity, Wh."""
        return self.number * self.pack_wh

    @property
    def energy_wh(self) -> float:
        """Return the energy left, Wh."""
        return self.capacity_wh * self.soc / 100

    def giving(self, watts: float, floor: float) -> float:
        """Return how much of this power they give, W: nothing from the floor, percent, downwards."""
        return min(watts, self.number * self.pack_w) if self.soc > floor + EPSILON else 0.0

    def taking(self, watts: float) -> float:
        """Return the power at which they charge from this surplus, W, below 0: nothing when they are full."""
        return -min(watts, self.number * self.pack_w) if self.soc < 100 else 0.0

    def edge_seconds(self, watts: float, floor: float) -> float:
        """Return the seconds at this power until they are full (charging) or at the floor (discharging)."""
        if not watts or not self.capacity_wh:
            return float("inf")
        room_percent = 100 - self.soc if watts < 0 else self.soc - floor
        # Never 0: a step has to make progress; what a nanosecond moves is below every counter's last digit.
        return max(EPSILON, room_percent / 100 * self.capacity_wh * 3600 / abs(watts))

    def discharge(self, energy_wh: float, floor: float) -> None:
        """Take out this energy (below 0: put it in), Wh; the charge snaps to full or to the floor when it gets there."""
        if not self.capacity_wh or not energy_wh:
            return
        after = self.soc - energy_wh * 100 / self.capacity_wh
        if after >= 100 - EPSILON:
            self.soc = 100.0
        elif energy_wh > 0 and after <= floor + EPSILON:
            self.soc = min(self.soc, floor)
        else:
            self.soc = after
