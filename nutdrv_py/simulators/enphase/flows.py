# SPDX-License-Identifier: GPL-2.0-or-later
"""The energy balance of a simulated house: where its power comes from and goes to, in each state of the grid."""

from __future__ import annotations

from dataclasses import dataclass

from nutdrv_py.simulators.enphase.batteries import Batteries
from nutdrv_py.simulators.enphase.house import SiteSetup

IDLE_WATTS = 18.0
"""What one idle pack shows (pyenphase's fixture 8.1.41: 16 and 24 W): a reader must not take it for a discharge."""


@dataclass(frozen=True, slots=True)
class Flows:
    """Powers at one moment, W. ``storage`` is IQ Batteries plus AC Batteries."""

    load: float = 0.0
    pv: float = 0.0
    grid: float = 0.0
    encharge: float = 0.0
    acb: float = 0.0
    generator: float = 0.0
    blackout: bool = False

    @property
    def storage(self) -> float:
        """Return all batteries together, W; + = discharging."""
        return self.encharge + self.acb


DARK = Flows(blackout=True)


def on_grid(load: float, pv: float, encharge: Batteries, acb: Batteries, *, policy: str, floor: float, reserve: float) -> Flows:
    """Return the flows beside the grid, which gives and takes the rest. ``floor`` and ``reserve`` are percent."""
    need = load - pv
    stored = stored_acb = 0.0
    if policy == "rest" or (policy == "backup" and (need >= 0 or encharge.soc >= 100)):
        stored = encharge.giving(IDLE_WATTS * encharge.number, floor)
    elif need < 0:
        stored = encharge.taking(-need)
        stored_acb = acb.taking(-need + stored)
    else:
        stored = encharge.giving(need, floor)
        stored_acb = acb.giving(need - stored, reserve)
    return Flows(load=load, pv=pv, grid=need - stored - stored_acb, encharge=stored, acb=stored_acb)


def islanded(load: float, pv: float, encharge: Batteries, floor: float) -> Flows:
    """Return the flows off the grid: AC Batteries cannot work there, and surplus PV is turned down."""
    need = load - pv
    if need > 0:
        return Flows(load=load, pv=pv, encharge=need) if encharge.giving(need, floor) >= need else DARK
    if encharge.number == 0:
        return DARK  # PV alone cannot hold a house up: something has to form the grid
    charge = encharge.taking(-need)
    return Flows(load=load, pv=load - charge, encharge=charge)


def on_generator(load: float, pv: float, encharge: Batteries, setup: SiteSetup) -> Flows:
    """Return the flows beside a generator, which carries the house and charges the IQ Batteries."""
    pv = min(pv, load)  # a generator cannot take energy back, so surplus PV is turned down
    need = load - pv
    generator = min(need, setup.generator_max_w)
    short = need - generator
    if short > 0:
        given = encharge.giving(short, setup.empty)
        return Flows(load=load, pv=pv, encharge=short, generator=generator) if given >= short else DARK
    charge = encharge.taking(min(setup.generator_max_w - need, setup.generator_charge_w * encharge.number))
    return Flows(load=load, pv=pv, encharge=charge, generator=need - charge)
