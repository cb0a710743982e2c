# SPDX-License-Identifier: GPL-2.0-or-later
"""A house with solar panels, batteries and a grid connection whose numbers hang together.

Powers are watts, energies watt-hours, charge percent. Signs follow the IQ Gateway local API:
load + = use, pv + = production, storage + = discharging, grid + = import, generator + = feeding the house. At every
moment ``load = pv + grid + storage + generator``.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from nutdrv_py.simulators.spelling import nearest

GRID_STATES = ("on", "outage", "island", "reclosing", "generator")
"""What the grid connection does: see :class:`RelayWords` for the words of each one."""

POLICIES = ("self-consumption", "backup", "rest")
"""On-grid battery policy: cover the house, keep full (charge from PV surplus only), or do nothing at all."""

MIDS = ("enpower", "collar", "none")
"""Microgrid interconnect device: IQ System Controller, IQ Meter Collar, or none (the relay can then never open)."""

DEFAULT_SPLITS: Mapping[int, tuple[float, ...]] = {1: (1.0,), 2: (0.55, 0.45), 3: (0.5, 0.3, 0.2)}
"""Share of the load on each phase: uneven, so that a mixed-up phase shows."""

PHASE_VOLTS: Mapping[int, float] = {1: 230.0, 2: 120.0, 3: 230.0}
PHASE_HERTZ: Mapping[int, float] = {1: 50.0, 2: 60.0, 3: 50.0}

STEP_SECONDS = 10.0
"""Longest stretch for which the load is held constant; short against any battery's hours, long enough to be cheap."""

IDLE_WATTS = 18.0
"""What one idle pack shows (16 to 24 W): a reader must not take it for a discharge."""

ACB_CAPACITY_WH = 1200.0
ACB_MAX_WATTS = 260.0
"""One AC Battery (first generation): 1.2 kWh, about a quarter kilowatt; it cannot work without a grid."""

SYNCHRONIZING_SECONDS = 27.0
"""A commanded opening shows "open synchronizing" for this long (27 s were seen)."""

RECLOSE_SECONDS = 10.0
"""Re-closing takes 8-15 s."""

_EPSILON = 1e-9


@dataclass(frozen=True, slots=True)
class RelayWords:
    """Words of ``/ivp/ensemble/relay`` and the MID in one grid state."""

    admin: str
    oper: str
    mode: str
    main_relay: int
    enpower_state: int
    enpower_name: str
    enpower_id: int


RELAY_WORDS: Mapping[str, RelayWords] = {
    "on": RelayWords("closed", "closed", "multimode-ongrid", 1, 24, "ENPWR_STATE_OPER_CLOSED", 16),
    "outage": RelayWords("closed", "open", "multimode-offgrid", 0, 21, "ENPWR_STATE_OPER_NO_GRID", 256),
    "synchronizing": RelayWords("open", "open synchronizing", "multimode-offgrid", 0, 22, "ENPWR_STATE_OPER_OPEN", 256),
    "island": RelayWords("open", "open synchronized", "multimode-offgrid", 0, 23, "ENPWR_STATE_OPER_SYNC_READY", 256),
    "reclosing": RelayWords("closed", "open synchronized", "multimode-offgrid", 0, 23, "ENPWR_STATE_OPER_SYNC_READY", 256),
    "generator": RelayWords("closed", "open", "multimode-generator", 0, 30, "ENPWR_STATE_OPER_GEN_CLOSE", 128),
}
"""One row per situation; "synchronizing" is the first part of a deliberate island. States 22 and 23 are guesses."""


@dataclass(frozen=True, slots=True)
class SiteSetup:
    """How a house is built, and its state at the start."""

    phases: int = 1
    mid: str = "enpower"
    packs: int = 2
    pack_capacity_wh: float = 5000.0
    pack_rated_w: float = 3840.0
    acb: int = 0
    soc: float = 80.0
    acb_soc: float = 80.0
    load: float = 1200.0
    load_split: tuple[float, ...] = ()
    pv: float = 0.0
    grid: str = "on"
    policy: str = "backup"
    reserve: float = 20.0
    vls: float = 10.0
    recovery_exit: float = 10.0
    empty: float = 0.0
    generator_max_w: float = 6000.0
    generator_charge_w: float = 1250.0
    wobble: float = 0.0
    seed: int = 1
    volts: float = 0.0
    hertz: float = 0.0
    gateway_backed_up: bool = True

    def __post_init__(self) -> None:
        """Refuse a house that cannot be."""
        for name, value, known in (("mid", self.mid, MIDS), ("grid", self.grid, GRID_STATES)):
            if value not in known:
                raise ValueError(f'The site\'s {name} cannot be "{value}"{nearest(str(value), known)}.')
        if self.policy not in POLICIES:
            raise ValueError(f'The site\'s policy cannot be "{self.policy}"{nearest(str(self.policy), POLICIES)}.')
        if self.phases not in DEFAULT_SPLITS:
            raise ValueError(f"A site has 1, 2 (split phase) or 3 phases, not {self.phases}.")
        if self.load_split and len(self.load_split) != self.phases:
            raise ValueError(f"load_split needs one share for each of the {self.phases} phases.")
        if self.load_split and (min(self.load_split) < 0 or sum(self.load_split) <= 0):
            raise ValueError("The shares of load_split cannot be negative, nor all be 0.")
        for name in ("soc", "acb_soc", "reserve", "vls", "recovery_exit", "empty", "wobble"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"The site's {name} is a percentage from 0 to 100, not {getattr(self, name)}.")
        for name in ("packs", "acb", "pack_capacity_wh", "pack_rated_w", "load", "pv", "generator_max_w"):
            if getattr(self, name) < 0:
                raise ValueError(f"The site's {name} cannot be negative.")


SETUP_NAMES = tuple(field.name for field in fields(SiteSetup))


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


class Site:
    """The house at work. Change it with :meth:`set`, let time pass with :meth:`advance`, read :attr:`flows`."""

    def __init__(self, setup: SiteSetup | None = None) -> None:
        """Build the house in the state of the setup."""
        self.setup = setup or SiteSetup()
        self.grid = self.setup.grid
        self.grid_seconds = SYNCHRONIZING_SECONDS if self.grid == "island" else 0.0
        self.seconds = 0.0
        self.soc = self.setup.soc
        self.acb_soc = self.setup.acb_soc
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
        self.flows = self._flows()

    # -- what the house is -------------------------------------------------------------------------------------------

    @property
    def packs_good(self) -> int:
        """Return the number of packs that talk and have their DC switch on."""
        return max(0, self.setup.packs - self.packs_bad - self.packs_dc_off)

    @property
    def capacity_wh(self) -> float:
        """Return the usable capacity of the packs that work, Wh."""
        return self.packs_good * self.setup.pack_capacity_wh

    @property
    def nameplate_wh(self) -> float:
        """Return the capacity as commissioned, Wh."""
        return self.setup.packs * self.setup.pack_capacity_wh

    @property
    def energy_wh(self) -> float:
        """Return the energy left in the IQ Batteries, Wh."""
        return self.capacity_wh * self.soc / 100

    @property
    def max_w(self) -> float:
        """Return the most the working packs give or take, W."""
        return self.packs_good * self.setup.pack_rated_w

    @property
    def acb_capacity_wh(self) -> float:
        """Return the capacity of the AC Batteries, Wh."""
        return self.setup.acb * ACB_CAPACITY_WH

    @property
    def agg_soc(self) -> float:
        """Charge of IQ Batteries and AC Batteries together, weighted by capacity, percent."""
        total = self.capacity_wh + self.acb_capacity_wh
        return (self.energy_wh + self.acb_capacity_wh * self.acb_soc / 100) * 100 / total if total else 0.0

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
        while left > _EPSILON:
            flows = self._flows()
            until_sample = STEP_SECONDS - self.seconds % STEP_SECONDS
            step = min(left, until_sample if until_sample > _EPSILON else STEP_SECONDS)
            if self.grid == "reclosing":
                step = min(step, max(_EPSILON, RECLOSE_SECONDS - self.grid_seconds))
            step = min(step, *self._edge_seconds(flows))
            self._move_energy(flows, step)
            self.seconds += step
            self.grid_seconds += step
            left -= step
            if self.grid == "reclosing" and self.grid_seconds >= RECLOSE_SECONDS - _EPSILON:
                self._set_grid("on")
        self.flows = self._flows()

    def _floor(self) -> float:
        """Charge, percent, below which the IQ Batteries give nothing in the present state."""
        return self.setup.empty if self.islanded else max(self.reserve, self.setup.empty)

    def _edge_seconds(self, flows: Flows) -> tuple[float, float]:
        """Return the seconds until the IQ Batteries and the AC Batteries reach the edge they are heading for."""
        return (
            _seconds_to_edge(flows.encharge, self.soc, self.capacity_wh, self._discharge_floor(flows)),
            _seconds_to_edge(flows.acb, self.acb_soc, self.acb_capacity_wh, self.reserve),
        )

    def _discharge_floor(self, flows: Flows) -> float:
        # An idle pack drains itself below the reserve as well; only empty stops it.
        idle = not self.islanded and self.policy != "self-consumption"
        return self.setup.empty if idle else self._floor()

    def _move_energy(self, flows: Flows, seconds: float) -> None:
        hours = seconds / 3600
        self.soc = _moved(self.soc, flows.encharge * hours, self.capacity_wh, self._discharge_floor(flows))
        self.acb_soc = _moved(self.acb_soc, flows.acb * hours, self.acb_capacity_wh, self.reserve)
        totals = self.energies
        totals.pv += flows.pv * hours
        totals.load += flows.load * hours
        totals.imported += max(0.0, flows.grid) * hours
        totals.exported += max(0.0, -flows.grid) * hours
        totals.discharged += max(0.0, flows.storage) * hours
        totals.charged += max(0.0, -flows.storage) * hours
        totals.encharge_net += flows.encharge * hours

    # -- the energy balance ------------------------------------------------------------------------------------------

    def _demand(self) -> float:
        """Return what the house wants now, W: the set load with its seeded wobble, constant within one step."""
        if not self.setup.wobble:
            return self.load
        bucket = int((self.seconds + _EPSILON) // STEP_SECONDS)
        swing = random.Random(self.setup.seed * 1_000_003 + bucket).uniform(-1, 1)
        return self.load * (1 + self.setup.wobble / 100 * swing)

    def _flows(self) -> Flows:
        return _FLOWS_BY_STATE[self.grid](self)

    def _on_grid_flows(self) -> Flows:
        load, pv = self._demand(), self.pv
        need = load - pv
        encharge = acb = 0.0
        if self.policy == "rest" or (self.policy == "backup" and (need >= 0 or self.soc >= 100)):
            encharge = IDLE_WATTS * self.packs_good if self.soc > self.setup.empty + _EPSILON else 0.0
        elif need < 0:
            encharge = -min(-need, self.max_w) if self.soc < 100 else 0.0
            rest = -need + encharge
            acb = -min(rest, self.setup.acb * ACB_MAX_WATTS) if self.acb_soc < 100 else 0.0
        else:
            encharge = min(need, self.max_w) if self.soc > self._floor() + _EPSILON else 0.0
            rest = need - encharge
            acb = min(rest, self.setup.acb * ACB_MAX_WATTS) if self.acb_soc > self.reserve + _EPSILON else 0.0
        return Flows(load=load, pv=pv, grid=need - encharge - acb, encharge=encharge, acb=acb)

    def _island_flows(self) -> Flows:
        dark = Flows(blackout=True)
        if not self.has_mid or self.shutdown:
            return dark
        load, pv = self._demand(), self.pv
        need = load - pv
        if need > 0:
            able = self.max_w if self.soc > self._floor() + _EPSILON else 0.0
            return Flows(load=load, pv=pv, encharge=need) if able >= need else dark
        if self.packs_good == 0:
            return dark  # PV alone cannot hold a house up: something has to form the grid
        charge = min(-need, self.max_w) if self.soc < 100 else 0.0
        return Flows(load=load, pv=load + charge, encharge=-charge)

    def _generator_flows(self) -> Flows:
        if not self.has_mid or self.shutdown:
            return Flows(blackout=True)
        load = self._demand()
        pv = min(self.pv, load)  # a generator cannot take energy back, so surplus PV is turned down
        need = load - pv
        from_generator = min(need, self.setup.generator_max_w)
        short = need - from_generator
        if short > 0:
            if short > self.max_w or self.soc <= self._floor() + _EPSILON:
                return Flows(blackout=True)
            return Flows(load=load, pv=pv, encharge=short, generator=from_generator)
        room = min(self.setup.generator_max_w - need, self.setup.generator_charge_w * self.packs_good, self.max_w)
        charge = room if self.soc < 100 else 0.0
        return Flows(load=load, pv=pv, encharge=-charge, generator=need + charge)

    # -- changes from outside ----------------------------------------------------------------------------------------

    def set(self, **changes: Any) -> None:
        """Change the house by name (the names of :data:`SITE_CHANGES`); wrong names and values are errors."""
        for name in changes:
            if name not in SITE_CHANGES:
                raise ValueError(f'A site has nothing called "{name}"{nearest(name, SITE_CHANGES)}.')
        for name, value in changes.items():
            SITE_CHANGES[name](self, value)
        self.flows = self._flows()

    def _set_grid(self, value: Any) -> None:
        if value not in GRID_STATES:
            raise ValueError(f'grid cannot be "{value}"{nearest(str(value), GRID_STATES)}.')
        if value != self.grid:
            self.grid = value
            self.grid_seconds = 0.0
        self.generator_running = value == "generator"
        self.generator_present = self.generator_present or self.generator_running

    def _set_generator(self, value: Any) -> None:
        running = bool(value)
        if running and self.grid in ("outage", "island"):
            self._set_grid("generator")
        elif not running and self.grid == "generator":
            self._set_grid("outage")
        self.generator_running = running
        self.generator_present = self.generator_present or running

    def _set_load(self, value: Any) -> None:
        if isinstance(value, (list, tuple)):
            parts = tuple(float(part) for part in value)
            if len(parts) != self.setup.phases:
                raise ValueError(f"load as a list needs {self.setup.phases} numbers, one for each phase.")
            if min(parts) < 0:
                raise ValueError("load cannot be negative.")
            self.load = sum(parts)
            self.load_split = parts if sum(parts) > 0 else self.load_split
        else:
            self.load = _watts("load", value)

    def _set_temperature(self, value: Any) -> None:
        self.temperature = "unknown" if value == "unknown" else float(value)

    def _set_policy(self, value: Any) -> None:
        if value not in POLICIES:
            raise ValueError(f'policy cannot be "{value}"{nearest(str(value), POLICIES)}.')
        self.policy = value


_FLOWS_BY_STATE: Mapping[str, Callable[[Site], Flows]] = {
    "on": Site._on_grid_flows,
    "outage": Site._island_flows,
    "island": Site._island_flows,
    "reclosing": Site._island_flows,
    "generator": Site._generator_flows,
}


def _percent(name: str, value: Any) -> float:
    number = float(value)
    if not 0 <= number <= 100:
        raise ValueError(f"{name} is a percentage from 0 to 100, not {value}.")
    return number


def _watts(name: str, value: Any) -> float:
    number = float(value)
    if not 0 <= number < float("inf"):
        raise ValueError(f"{name} cannot be {value}; it is a power in W, 0 or more.")
    return number


def _assign(attribute: str, convert: Callable[[Any], object]) -> Callable[[Site, Any], None]:
    """Build a plain setter for one attribute of the site."""

    def apply(site: Site, value: Any) -> None:
        setattr(site, attribute, convert(value))

    return apply


def _pack_count(attribute: str) -> Callable[[Site, Any], None]:
    def apply(site: Site, value: Any) -> None:
        count = int(value)
        if not 0 <= count <= site.setup.packs:
            raise ValueError(f"{attribute} must be from 0 to {site.setup.packs}, the number of packs, not {value}.")
        setattr(site, attribute, count)

    return apply


SITE_CHANGES: Mapping[str, Callable[[Site, Any], None]] = {
    "grid": Site._set_grid,
    "generator": Site._set_generator,
    "load": Site._set_load,
    "pv": _assign("pv", lambda value: _watts("pv", value)),
    "soc": _assign("soc", lambda value: _percent("soc", value)),
    "acb_soc": _assign("acb_soc", lambda value: _percent("acb_soc", value)),
    "reserve": _assign("reserve", lambda value: _percent("reserve", value)),
    "policy": Site._set_policy,
    "packs_bad": _pack_count("packs_bad"),
    "packs_dc_off": _pack_count("packs_dc_off"),
    "shutdown": _assign("shutdown", bool),
    "mid_communicating": _assign("mid_communicating", bool),
    "temperature": Site._set_temperature,
    "gateway_backed_up": _assign("gateway_backed_up", bool),
}
"""Everything about the house that can be changed while it runs."""


def _seconds_to_edge(watts: float, soc: float, capacity_wh: float, floor: float) -> float:
    """Return the seconds until a battery at this power is full (charging) or at its floor (discharging)."""
    if not watts or not capacity_wh:
        return float("inf")
    room_percent = 100 - soc if watts < 0 else soc - floor
    # Never 0: a step has to make progress; what a nanosecond moves is below every counter's last digit.
    return max(_EPSILON, room_percent / 100 * capacity_wh * 3600 / abs(watts))


def _moved(soc: float, discharged_wh: float, capacity_wh: float, floor: float) -> float:
    """Return the charge after giving this energy, snapped to full or to the floor when it got there."""
    if not capacity_wh or not discharged_wh:
        return soc
    after = soc - discharged_wh * 100 / capacity_wh
    if after >= 100 - _EPSILON:
        return 100.0
    if discharged_wh > 0 and after <= floor + _EPSILON:
        return floor if soc >= floor else soc
    return after
