# SPDX-License-Identifier: GPL-2.0-or-later
"""Powers and energies of the simulated house; the numbers hang together.

Signs are those of the inverter's objects: load + = use, solar power + = production, battery + = discharging (evcc, openWB),
grid + = import. At every moment ``load = inverter + grid``, and what the inverter puts out is what :func:`output_watts` makes
of solar and battery power.
"""

from __future__ import annotations

from dataclasses import dataclass, field

EFFICIENCY = 0.95
"""Efficiency of the way from solar generator or battery to the house."""

OWN_WATTS = 50.0
"""What the inverter itself uses."""


def output_watts(dc: float) -> float:
    """Return what the inverter puts out, W, of solar and battery power together, W; less than nothing without any."""
    return dc * EFFICIENCY - OWN_WATTS


def input_watts(ac: float) -> float:
    """Return what solar generator and battery must give together, W, for this output, W."""
    return (ac + OWN_WATTS) / EFFICIENCY


@dataclass(frozen=True, slots=True)
class Flows:
    """Powers at one moment, W. ``solar`` is what the generators give, which can be less than the sun offers."""

    load: float = 0.0
    solar: float = 0.0
    battery: float = 0.0
    inverter: float = 0.0
    """AC output of the inverter; below 0 it takes its own use from the grid."""
    grid: float = 0.0


@dataclass(slots=True)
class Energies:
    """Running totals since the start, Wh; none of them ever falls."""

    generators: list[float] = field(default_factory=lambda: [0.0, 0.0])
    load: float = 0.0
    output: float = 0.0
    imported: float = 0.0
    exported: float = 0.0
    charged: float = 0.0
    discharged: float = 0.0

    def add(self, flows: Flows, hours: float) -> None:
        """Count what flows for this long; the generators' shares are counted by the house."""
        self.load += flows.load * hours
        self.output += max(0.0, flows.inverter) * hours
        self.imported += max(0.0, flows.grid) * hours
        self.exported += max(0.0, -flows.grid) * hours
        self.discharged += max(0.0, flows.battery) * hours
        self.charged += max(0.0, -flows.battery) * hours
