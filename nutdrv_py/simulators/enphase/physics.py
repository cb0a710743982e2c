# SPDX-License-Identifier: GPL-2.0-or-later
"""A house with solar panels, batteries and a grid connection whose numbers hang together.

Powers are watts, energies watt-hours, charge percent. Signs follow the IQ Gateway local API:
load + = use, pv + = production, storage + = discharging, grid + = import, generator + = feeding the house. At every
moment ``load = pv + grid + storage + generator``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from nutdrv_py.simulators.enphase.batteries import EPSILON, Batteries
from nutdrv_py.simulators.enphase.flows import DARK, Flows, islanded, on_generator, on_grid
from nutdrv_py.simulators.enphase.house import DEFAULT_SPLITS, PHASE_HERTZ, PHASE_VOLTS, SiteSetup
from nutdrv_py.simulators.enphase.relay import RECLOSE_SECONDS, RELAY_WORDS, SYNCHRONIZING_SECONDS, RelayWords

STEP_SECONDS = 10.0
"""Longest stretch for which the load is held constant; short against any battery's hours, long enough to be cheap."""

ACB_CAPACITY_WH = 1200.0
ACB_MAX_WATTS = 260.0
"""One AC Battery (first generation): 1.2 kWh, about a quarter kilowatt; it cannot work without a grid."""


@dataclass(slots=True)
class Energies:
    """Running totals since the start, Wh, for the energy counters of the meters; none of them ever falls."""

    pv: float = 0.0
    load: float = 0.0
    imported: float = 0.0
    exported: float = 0.0
    charged: float = 0.0
    discharged: float = 0.0
    encharge_net: float = 0.0

    def add(self, flows: Flows, hours: float) -> None:
        """Add what flows in this time."""
        self.pv += flows.pv * hours
        self.load += flows.load * hours
        self.imported += max(0.0, flows.grid) * hours
        self.exported += max(0.0, -flows.grid) * hours
        self.discharged += max(0.0, flows.storage) * hours
        self.charged += max(0.0, -flows.storage) * hours
        self.encharge_net += flows.encharge * hours


class Site:
    """The house at work. Change it by SITE_CHANGES, let time pass with :meth:`advance`, read :attr:`flows`."""

    def __init__(self, setup: SiteSetup | None = None) -> None:
        """Build the house in the state of the setup."""
        self.setup = setup or SiteSetup()
        self.grid = self.setup.grid
        self.grid_seconds = SYNCHRONIZING_SECONDS if self.grid == "island" else 0.0
        self.seconds = 0.0
        self.encharge = Batteries(self.setup.packs, self.setup.pack_capacity_wh, self.setup.pack_rated_w, self.setup.soc)
        self.acb = Batteries(self.setup.acb, ACB_CAPACITY_WH, ACB_MAX_WATTS, self.setup.acb_soc)
        self.load = self.setup.load
        self.load_split = self.setup.load_split or DEFAULT_SPLITS[self.setup.phases]
        self.pv = self.setup.pv
        self.policy = self.setup.policy
        self.reserve = self.setup.reserve
        self.generator_running = self.grid == "generator"
        self.generator_present = self.generator_running
        self.packs_bad = 0
        self.packs_dc_off = 0
        self.shutdown = False
        self.mid_communicating = True
        self.temperature: float | str = 24.0
        self.gateway_backed_up = self.setup.gateway_backed_up
        self.energies = Energies()
        self.balance()

    # -- what the house is -------------------------------------------------------------------------------------------

    @property
    def nameplate_wh(self) -> float:
        """Return the capacity as commissioned, Wh."""
        return self.setup.packs * self.setup.pack_capacity_wh

    @property
    def agg_soc(self) -> float:
        """Return the charge of IQ and AC Batteries together by capacity, percent (home-assistant/core issue 130879)."""
        total = self.encharge.capacity_wh + self.acb.capacity_wh
        return (self.encharge.energy_wh + self.acb.energy_wh) * 100 / total if total else 0.0

    @property
    def has_mid(self) -> bool:
        """Return whether something can cut the house off the grid."""
        return self.setup.mid != "none"

    @property
    def islanded(self) -> bool:
        """Return whether the house is cut off from the grid and lives on its own (or is dark)."""
        return self.grid != "on"

    @property
    def grid_present(self) -> bool:
        """Return whether the utility's side of the relay is alive."""
        return self.grid in ("on", "island", "reclosing")

    @property
    def blackout(self) -> bool:
        """Return whether the house is dark: no grid, and the batteries cannot carry it."""
        return self.flows.blackout

    @property
    def gateway_powered(self) -> bool:
        """Return whether the gateway has power. Not backed up, it dies with the grid (or with the batteries)."""
        return self.gateway_backed_up or (self.grid_present and not self.blackout)

    @property
    def relay(self) -> RelayWords:
        """Return the relay's words now. Without a MID they are always "closed"."""
        if not self.has_mid:
            return RELAY_WORDS["on"]
        if self.grid == "island" and self.grid_seconds < SYNCHRONIZING_SECONDS:
            return RELAY_WORDS["synchronizing"]
        return RELAY_WORDS[self.grid]

    @property
    def volts(self) -> float:
        """Return the phase voltage, V; 0 in a blackout."""
        return 0.0 if self.blackout else self.setup.volts or PHASE_VOLTS[self.setup.phases]

    @property
    def hertz(self) -> float:
        """Return the frequency, Hz; 0 in a blackout."""
        return 0.0 if self.blackout else self.setup.hertz or PHASE_HERTZ[self.setup.phases]

    def phase_watts(self, name: str) -> tuple[float, ...]:
        """Split one flow ("load", "pv", "grid", "storage", "generator") over the phases; the parts add up to it."""
        count = self.setup.phases
        flows = self.flows
        share = sum(self.load_split)
        load = tuple(flows.load * part / share for part in self.load_split)
        if name == "load":
            return load
        pv, generator, storage = flows.pv / count, flows.generator / count, flows.storage / count
        # On grid the batteries share evenly and the rest of each phase crosses the meter; islanded nothing crosses the
        # meter and the batteries even the phases out between themselves.
        parts = {
            "pv": (pv,) * count,
            "generator": (generator,) * count,
            "storage": tuple(watts - pv - generator for watts in load) if self.islanded else (storage,) * count,
            "grid": (0.0,) * count if self.islanded else tuple(watts - pv - storage for watts in load),
        }
        return parts[name]

    # -- time --------------------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        """Let time pass. Energy is exact: a step ends where a battery gets full or empty."""
        left = max(0.0, seconds)
        while left > EPSILON:
            flows, floor = self._flows(), self._floor()
            until_sample = STEP_SECONDS - self.seconds % STEP_SECONDS
            step = min(left, until_sample if until_sample > EPSILON else STEP_SECONDS)
            if self.grid == "reclosing":
                step = min(step, max(EPSILON, RECLOSE_SECONDS - self.grid_seconds))
            step = min(step, self.encharge.edge_seconds(flows.encharge, floor), self.acb.edge_seconds(flows.acb, self.reserve))
            hours = step / 3600
            self.encharge.discharge(flows.encharge * hours, floor)
            self.acb.discharge(flows.acb * hours, self.reserve)
            self.energies.add(flows, hours)
            self.seconds += step
            self.grid_seconds += step
            left -= step
            if self.grid == "reclosing" and self.grid_seconds >= RECLOSE_SECONDS - EPSILON:
                self.transfer("on")
        self.balance()

    def balance(self) -> None:
        """Set :attr:`flows` anew after a change."""
        self.flows = self._flows()

    def transfer(self, grid: str) -> None:
        """Bring the grid connection into this state of GRID_STATES."""
        if grid != self.grid:
            self.grid = grid
            self.grid_seconds = 0.0
        self.generator_running = grid == "generator"
        self.generator_present = self.generator_present or self.generator_running

    def _flows(self) -> Flows:
        load, floor = self._demand(), self._floor()
        if self.grid == "on":
            return on_grid(load, self.pv, self.encharge, self.acb, policy=self.policy, floor=floor, reserve=self.reserve)
        if not self.has_mid or self.shutdown:
            return DARK
        if self.grid == "generator":
            return on_generator(load, self.pv, self.encharge, self.setup)
        return islanded(load, self.pv, self.encharge, floor)

    def _floor(self) -> float:
        """Return the charge, percent, at which the IQ Batteries stop: an idle pack drains itself below the reserve as well."""
        held = self.grid == "on" and self.policy == "self-consumption"
        return max(self.reserve, self.setup.empty) if held else self.setup.empty

    def _demand(self) -> float:
        """Return what the house wants now, W: the set load with its seeded wobble, constant within one step."""
        if not self.setup.wobble:
            return self.load
        bucket = int((self.seconds + EPSILON) // STEP_SECONDS)
        swing = random.Random(self.setup.seed * 1_000_003 + bucket).uniform(-1, 1)
        return self.load * (1 + self.setup.wobble / 100 * swing)
