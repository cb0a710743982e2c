# SPDX-License-Identifier: GPL-2.0-or-later
"""What the inverter measures and notices in the house: by phase, generator and battery cell, each a little apart."""

from __future__ import annotations

import itertools
import math
import random

from nutdrv_py.protocols.rct.payload import CELLS
from nutdrv_py.simulators.rct.physics import House, Mode

PHASE_VOLTS = 230.0
HERTZ = 50.0
REACTIVE_VAR = 25.0
"""Reactive power of each phase: it is never nothing."""

STRAY_VOLTS = 3.0
"""What the measuring circuit picks up at most on a dead line."""

_GENERATOR_VOLTS = (352.0, 284.0)

_CURVE = ((0.0, 2.80), (5.0, 3.08), (10.0, 3.17), (20.0, 3.23), (50.0, 3.29), (80.0, 3.33), (95.0, 3.37), (100.0, 3.50))
"""Voltage of a resting cell over its charge: flat in the middle, steep at the ends."""


def wobble(house: House, what: str, most: float) -> float:
    """Return a small deviation of up to ``most`` to either side: new every second, the same each time it is asked."""
    return random.Random(f"{house.setup.seed} {what} {int(house.seconds)}").uniform(-most, most)


def fault_bits(house: House) -> frozenset[int]:
    """Return the numbers of all fault bits that are set (list: rctclient, inverter_faults)."""
    setup = house.setup
    found = set(setup.faults)
    rules: tuple[tuple[bool, tuple[int, ...]], ...] = (
        (setup.grid != "on", (90,)),
        (setup.grid == "outage", (13, 14, 15, 48, 49, 50, 51, 52, 53)),
        (house.empty, (106,)),
        (setup.emergency_off, (105,)),
    )
    return frozenset(found.union(*(bits for holds, bits in rules if holds)))


# -- by phase and by generator -------------------------------------------------------------------------------------------


def load_watts(house: House, phase: int) -> float:
    """Return the house load of a phase, W."""
    return house.flows.load * house.setup.load_split[phase] / sum(house.setup.load_split)


def inverter_watts(house: House, phase: int) -> float:
    """Return the AC output on a phase, W: even beside the grid; in an island each phase gets what it needs."""
    return load_watts(house, phase) if house.mode is Mode.ISLAND else house.flows.inverter / 3


def grid_watts(house: House, phase: int) -> float:
    """Return what a phase takes from the grid, W."""
    return load_watts(house, phase) - inverter_watts(house, phase) if house.fed else 0.0


def house_volts(house: House, phase: int) -> float:
    """Return the voltage of a phase on the house's side, V."""
    return PHASE_VOLTS + phase - 1 + wobble(house, f"house {phase}", 0.8) if house.powered else 0.0


def grid_volts(house: House, phase: int) -> float:
    """Return the voltage of a phase on the grid's side of the Power Switch, V; 0 without one (weltenwort's integration #632)."""
    if not house.setup.switch:
        return 0.0
    if not house.grid_present:
        return abs(wobble(house, f"stray {phase}", STRAY_VOLTS))
    return PHASE_VOLTS + phase - 1 + wobble(house, f"grid {phase}", 0.8)


def hertz(house: House, what: str, alive: bool) -> float:
    """Return the frequency at one place, Hz."""
    return HERTZ + wobble(house, f"hertz {what}", 0.015) if alive else 0.0


def works(house: House) -> bool:
    """Return whether the inverter has an AC output."""
    return house.mode in (Mode.GRID, Mode.ISLAND)


def volt_amperes(house: House, phase: int) -> float:
    """Return the apparent power of the inverter on a phase, VA."""
    return math.hypot(inverter_watts(house, phase), REACTIVE_VAR) if works(house) else 0.0


def volts_between(house: House, phase: int) -> float:
    """Return the voltage between a phase and the next one, V."""
    return (house_volts(house, phase) + house_volts(house, (phase + 1) % 3)) / 2 * math.sqrt(3)


def inverter_amps(house: House, phase: int) -> float:
    """Return the current of the inverter on a phase, A."""
    volts = house_volts(house, phase)
    return volt_amperes(house, phase) / volts if volts else 0.0


def generator_volts(house: House, generator: int) -> float:
    """Return the voltage of a generator, V."""
    return _GENERATOR_VOLTS[generator] + wobble(house, f"generator {generator}", 2) if house.sun else 0.0


def target_volts(house: House, generator: int) -> float:
    """Return what the tracker aims at: ``u_target``, as RctMon's models name it; ``mpp.fixed_voltage`` is a setting."""
    return _GENERATOR_VOLTS[generator] - 4 if house.sun else 0.0


def warmth(house: House, least: float) -> float:
    """Return the temperature of a part of the inverter: 15 degrees more at full power."""
    return least + 15 * min(1.0, abs(house.flows.inverter) / house.setup.nominal) + wobble(house, f"warmth {least}", 0.2)


# -- the battery --------------------------------------------------------------------------------------------------------


def resting_volts(percent: float) -> float:
    """Return the voltage of a cell at this charge."""
    for (low, at_low), (high, at_high) in itertools.pairwise(_CURVE):
        if percent <= high:
            return at_low + (at_high - at_low) * (percent - low) / (high - low)
    return _CURVE[-1][1]


def cell_volts(house: House, tower: int, module: int) -> tuple[float, ...]:
    """Return the voltages of a module's cells: those of their charge, and each cell a little apart."""
    chance = random.Random(f"{house.setup.seed} cells {tower} {module}")
    volts = resting_volts(house.charges[tower])
    return tuple(round(volts + chance.uniform(-0.006, 0.006), 3) for _ in range(CELLS))


def cell_degrees(house: House, tower: int, module: int) -> tuple[int, ...]:
    """Return the temperatures of a module's cells, degrees Celsius: the middle ones are the warmest."""
    warmer = (tower + module) % 2
    return tuple(round(house.setup.temperature + warmer + (1 if 6 <= cell < 18 else 0)) for cell in range(CELLS))


def tower_volts(house: House, tower: int) -> float:
    """Return the voltage of a tower, V: the sum of its cells."""
    return sum(sum(cell_volts(house, tower, module)) for module in range(house.modules)) if tower < house.towers else 0.0


def tower_amps(house: House, tower: int) -> float:
    """Return the current of a tower, A, with the sign of its battery management: + = charging."""
    volts = tower_volts(house, tower)
    return -house.tower_watts(tower) / volts if volts else 0.0
