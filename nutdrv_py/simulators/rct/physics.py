# SPDX-License-Identifier: GPL-2.0-or-later
"""A three-phase house with a hybrid inverter, its battery towers and a Power Switch: what it does as time passes.

Powers are watts, energies watt-hours, charge percent.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nutdrv_py.protocols.rct.payload import CELLS
from nutdrv_py.simulators.rct.flows import Energies, Flows, input_watts, output_watts
from nutdrv_py.simulators.rct.house_setup import HouseSetup

CELL_VOLTS = 3.2
"""Nominal voltage of a lithium iron phosphate cell."""

CELL_AMP_HOURS = 25.0
"""Capacity of a cell in Ah: a module of 24 in series has 1.92 kWh."""

MODULE_VOLTS = CELLS * CELL_VOLTS
MODULE_WH = MODULE_VOLTS * CELL_AMP_HOURS

MOST_AMPS = 25.0
"""What a tower gives or takes at most while the grid is there. In an island it carries whatever the house needs."""

RESTART_PERCENT = 5.0
"""Charge above the island's lower limit at which an island that had run empty begins anew."""

_EPSILON = 1e-9


class Mode(enum.Enum):
    """What the inverter does."""

    GRID = "works beside the grid"
    ISLAND = "carries the house alone"
    EXHAUSTED = "has ended the island, the battery being empty"
    STOPPED = "stands still: no grid, and nothing to carry the house with"
    EMERGENCY = "was switched off by the external emergency switch"
    ASLEEP = "is off for the night"
    """Without a battery, or with one at the island's limit (RctMon's documentation)."""


class House:
    """The house at work. Change it with :meth:`change`, let time pass with :meth:`advance`, read :attr:`flows`."""

    def __init__(self, setup: HouseSetup | None = None) -> None:
        self.setup = setup or HouseSetup()
        self.seconds = 0.0
        self.charges = [self.setup.soc, self.setup.soc2]
        """Charge of both towers, percent, whether they are there or not."""
        self.energies = Energies()
        self.mode = Mode.GRID
        self.mode_seconds = 0.0
        self.grid_seconds = 0.0
        self.flows = Flows()
        self._settle()

    # -- what the house is -------------------------------------------------------------------------------------------

    @property
    def has_battery(self) -> bool:
        """Return whether a battery with at least one module is there."""
        return self.setup.battery and self.setup.modules > 0

    @property
    def towers(self) -> int:
        """Return the number of battery towers that are there."""
        return self.setup.towers if self.has_battery else 0

    @property
    def modules(self) -> int:
        """Return the number of battery modules of each tower that is there."""
        return self.setup.modules if self.has_battery else 0

    @property
    def tower_wh(self) -> float:
        """Return the capacity of one tower, Wh, aged. A health of 0 means that the battery management does not know it."""
        return self.modules * MODULE_WH * (self.setup.soh or 100) / 100

    @property
    def most_watts(self) -> float:
        """Return the most the battery gives or takes beside the grid, W."""
        return self.towers * self.modules * MODULE_VOLTS * MOST_AMPS

    @property
    def grid_present(self) -> bool:
        """Return whether there is voltage on the grid's side of the Power Switch."""
        return self.setup.grid != "outage"

    @property
    def connected(self) -> bool:
        """Return whether the inverter is connected with the grid."""
        return self.setup.grid == "on"

    @property
    def fed(self) -> bool:
        """Return whether the house is connected with a living grid: without a Power Switch nothing ever parts them."""
        return self.connected or (self.grid_present and not self.setup.switch)

    @property
    def powered(self) -> bool:
        """Return whether there is voltage on the house's side."""
        return self.fed or self.mode is Mode.ISLAND

    @property
    def islanded(self) -> bool:
        """Return whether the Power Switch has parted the house from the grid."""
        return self.setup.switch and not self.connected

    @property
    def empty(self) -> bool:
        """Return whether the battery blocks for want of charge."""
        return self.has_battery and (self.mode is Mode.EXHAUSTED or max(self.charges[: self.towers]) <= _EPSILON)

    @property
    def full(self) -> bool:
        """Return whether the battery takes nothing more."""
        return self.has_battery and self._room() <= _EPSILON

    @property
    def resting(self) -> bool:
        """Return whether the inverter waits beside the grid for energy."""
        return self.mode is Mode.GRID and self.flows.solar == 0 and self.flows.battery == 0

    @property
    def network(self) -> bool:
        """Return whether the network module of the inverter has power."""
        if self.mode is Mode.ASLEEP:
            return False
        if self.grid_present or self.mode is Mode.ISLAND or (self.mode is Mode.EXHAUSTED and self.sun > 0):
            return True
        patience = self.setup.dark_seconds if self.mode is Mode.STOPPED else self.setup.linger_seconds
        return min(self.mode_seconds, self.grid_seconds) < patience

    @property
    def sun(self) -> float:
        """Return what the generators could give, W."""
        return 0.0 if self.setup.night else self.setup.pv

    def solar_watts(self, generator: int) -> float:
        """Return what a generator gives, W."""
        return self.flows.solar * self.setup.pv_split[generator] / sum(self.setup.pv_split)

    # -- the battery -------------------------------------------------------------------------------------------------

    def tower_watts(self, tower: int) -> float:
        """Return what a tower gives, W; below 0 it takes."""
        return self.flows.battery * self._share(tower) if tower < self.towers else 0.0

    @property
    def floor(self) -> float:
        """Charge, percent, below which nothing is drawn in the present state."""
        return self.setup.soc_min if self.connected else self.setup.soc_min_island

    def _above(self, floor: float) -> float:
        return sum(max(0.0, charge - floor) for charge in self.charges[: self.towers])

    def _room(self) -> float:
        return sum(max(0.0, self.setup.soc_max - charge) for charge in self.charges[: self.towers])

    def _share(self, tower: int) -> float:
        """Return the part of the power that falls to a tower: by what is left in it, or by the room in it."""
        if self.flows.battery > 0:
            part, whole = max(0.0, self.charges[tower] - self.floor), self._above(self.floor)
        else:
            part, whole = max(0.0, self.setup.soc_max - self.charges[tower]), self._room()
        return part / whole if whole > _EPSILON else 1 / self.towers

    def _allowed(self, watts: float, most: float) -> float:
        """Return what of a wanted battery power, W, charge and strength allow."""
        if watts > 0:
            return min(watts, most) if self._above(self.floor) > _EPSILON else 0.0
        return max(watts, -self.most_watts) if self._room() > _EPSILON else 0.0

    # -- changes and time --------------------------------------------------------------------------------------------

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change the house by the names of its setup, as of now; wrong names and values are errors and change nothing."""
        before, self.setup = self.setup, self.setup.changed(changes)
        for tower, name in enumerate(("soc", "soc2")):
            if name in changes:
                self.charges[tower] = getattr(self.setup, name)
        if self.setup.grid != before.grid:
            self.grid_seconds = 0.0
        self._settle()

    def advance(self, seconds: float) -> None:
        """Let time pass. Energy is exact: a step ends where something changes by itself."""
        left = max(0.0, seconds)
        while left > _EPSILON:
            step = min(left, self._edge_seconds())
            self._move(step)
            self.seconds += step
            self.mode_seconds += step
            self.grid_seconds += step
            left -= step
            self._settle()

    def _edge_seconds(self) -> float:
        """Return the seconds until a limit of the charge is reached, an exhausted island recovers, or the inverter connects."""
        edges = [float("inf")]
        if self.setup.grid == "reclosing":
            edges.append(self.setup.reclose_seconds - self.grid_seconds)
        if self.flows.battery and self.tower_wh:
            percent = self._above(self.floor) if self.flows.battery > 0 else self._room()
            missing = RESTART_PERCENT * self.towers - self._above(self.floor)
            if self.mode is Mode.EXHAUSTED and missing > _EPSILON:
                percent = min(percent, missing)
            edges.append(percent / 100 * self.tower_wh / abs(self.flows.battery) * 3600)
        # Never 0: a step has to make progress; what a microsecond moves is below every counter's last digit.
        return max(min(edges), 1e-6)

    def _move(self, seconds: float) -> None:
        hours = seconds / 3600
        self.energies.add(self.flows, hours)
        for generator in range(len(self.energies.generators)):
            self.energies.generators[generator] += self.solar_watts(generator) * hours
        if self.tower_wh:
            percent = self.flows.battery * hours / self.tower_wh * 100
            for tower, share in enumerate([self._share(tower) for tower in range(self.towers)]):
                self.charges[tower] = self._within(self.charges[tower], percent * share)

    def _within(self, charge: float, percent: float) -> float:
        """Return a charge less ``percent``, which never crosses the limit it is heading for."""
        rest = charge - percent
        if percent > 0:
            return rest if rest > self.floor + _EPSILON else min(charge, self.floor)
        return rest if rest < self.setup.soc_max - _EPSILON else max(charge, self.setup.soc_max)

    def _settle(self) -> None:
        """Find the mode and the powers that belong to the present state."""
        if self.setup.grid == "reclosing" and self.grid_seconds >= self.setup.reclose_seconds - 1e-5:
            self.setup = replace(self.setup, grid="on")
            self.grid_seconds = 0.0
        mode = self._next_mode()
        if mode is not self.mode:
            self.mode = mode
            self.mode_seconds = 0.0
        self.flows = _FLOWS[mode](self)

    def _next_mode(self) -> Mode:
        setup = self.setup
        if setup.emergency_off:
            return Mode.EMERGENCY
        if setup.grid == "on":
            worn = setup.soc_min_island < setup.soc_min and self._above(setup.soc_min_island) <= _EPSILON
            return Mode.ASLEEP if setup.night and (not self.has_battery or worn) else Mode.GRID
        if not (setup.switch and self.has_battery):
            return Mode.STOPPED
        above = self._above(self.floor)
        if self.mode is Mode.EXHAUSTED:
            return Mode.ISLAND if above >= RESTART_PERCENT * self.towers - 1e-6 else Mode.EXHAUSTED
        short = self.sun < input_watts(setup.load) and above <= _EPSILON
        return Mode.EXHAUSTED if short else Mode.ISLAND

    def _grid_flows(self) -> Flows:
        load = self.setup.load
        most = input_watts(self.setup.nominal)
        battery = self._allowed(min(input_watts(load), most) - self.sun, self.most_watts)
        solar = min(self.sun, most - battery)
        inverter = output_watts(solar + battery)
        return Flows(load, solar, battery, inverter, load - inverter)

    def _island_flows(self) -> Flows:
        load = self.setup.load
        need = input_watts(load)
        battery = self._allowed(need - self.sun, float("inf"))
        # What neither the house nor the battery takes, the generators do not give.
        return Flows(load, min(self.sun, need - battery), battery, load, 0.0)

    def _exhausted_flows(self) -> Flows:
        own = input_watts(0.0)
        battery = self._allowed(min(0.0, own - self.sun), 0.0)
        return Flows(solar=min(self.sun, own - battery), battery=battery)

    def _idle_flows(self) -> Flows:
        load = self.setup.load if self.fed else 0.0
        return Flows(load=load, grid=load)


_FLOWS: Mapping[Mode, Callable[[House], Flows]] = {
    Mode.GRID: House._grid_flows,
    Mode.ISLAND: House._island_flows,
    Mode.EXHAUSTED: House._exhausted_flows,
    Mode.STOPPED: House._idle_flows,
    Mode.EMERGENCY: House._idle_flows,
    Mode.ASLEEP: House._idle_flows,
}
