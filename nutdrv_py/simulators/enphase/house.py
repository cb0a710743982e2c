# SPDX-License-Identifier: GPL-2.0-or-later
"""How a simulated house is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from nutdrv_py.simulators.enphase.relay import GRID_STATES
from nutdrv_py.simulators.spelling import nearest

POLICIES = ("self-consumption", "backup", "rest")
"""On-grid battery policy: cover the house, keep full (charge from PV surplus only), or do nothing at all."""

MIDS = ("enpower", "collar", "none")
"""Microgrid interconnect device: IQ System Controller, IQ Meter Collar, or none (the relay can then never open)."""

DEFAULT_SPLITS: Mapping[int, tuple[float, ...]] = {1: (1.0,), 2: (0.55, 0.45), 3: (0.5, 0.3, 0.2)}
"""Share of the load on each phase: uneven, so that a mixed-up phase shows."""

PHASE_VOLTS: Mapping[int, float] = {1: 230.0, 2: 120.0, 3: 230.0}
PHASE_HERTZ: Mapping[int, float] = {1: 50.0, 2: 60.0, 3: 50.0}


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
