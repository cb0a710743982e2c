# SPDX-License-Identifier: GPL-2.0-or-later
"""One look at the grid: which objects decide, what was answered, and how long an answer counts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nutdrv_py.backends.rct.config import RctConfig
from nutdrv_py.backends.rct.grid import DEAD
from nutdrv_py.backends.rct.heard import Datum
from nutdrv_py.backends.rct.inventory import FLAG, MEDIUM, RARE
from nutdrv_py.device.mapping import to_number
from nutdrv_py.protocols.rct.objects import Group, Object

__all__ = ["AGES", "PHASES", "SHARE", "Answers", "ages", "answers", "deciding", "intervals", "is_alive", "is_slow"]

SHARE = 0.9
"""Part of a poll interval that may be used; then the grid is asked again."""

QUICK = 15
"""Requests for all of grid, charge, power and faults. A line that cannot answer so many in :data:`SHARE` of a poll is slow: what
decides is asked first, and the rest in turn."""

USUAL = 0.1
"""Seconds that an answer takes on a usual line; on a slower one values count longer, because they come more seldom."""

LONGER = 10.0
"""How many times longer they count at most."""

AGES = {Group.GRID: 15.0, Group.FAST: 15.0, Group.MEDIUM: 45.0, Group.SLOW: 180.0, Group.RARE: 900.0}
"""Minimum seconds for which a value counts; never less than three times the interval of its group."""

PHASES = tuple(f"rb485.u_l_grid[{index}]" for index in range(3))

Answers = Mapping[str, Datum]


def intervals(options: RctConfig) -> dict[Group, float]:
    """Return the seconds between two questions, by group."""
    return {
        Group.GRID: options.pollinterval, Group.FAST: options.pollinterval, Group.MEDIUM: MEDIUM,
        Group.SLOW: options.pollfreq, Group.RARE: RARE * options.pollfreq,
    }  # fmt: skip


def ages(options: RctConfig, pace: float) -> dict[Group, float]:
    """Return the seconds for which a value counts, by group; ``pace`` in seconds for an answer."""
    every, longer = intervals(options), min(LONGER, max(1.0, pace / USUAL))
    return {group: longer * max(age, 3.0 * every[group]) for group, age in AGES.items()}


def is_slow(options: RctConfig, pace: float) -> bool:
    """Return whether the line is too slow for all of grid, charge, power and faults in each poll."""
    return pace * QUICK > SHARE * options.pollinterval


def deciding(rows: Iterable[Object]) -> list[Object]:
    """Return the flag and one phase of the Power Switch: with either alive there is no outage that it would show."""
    every = list(rows)
    phase = next((row for row in every if row.name in PHASES), None)
    return [row for row in every if row.name == FLAG or row is phase]


def is_alive(values: Answers, rows: Iterable[Object], began: float, options: RctConfig) -> bool:
    """Return whether one of the phases has answered since ``began`` that it has voltage."""
    fresh, least = _fresh(values, rows, began), DEAD * options.nominal_voltage
    return any((to_number(fresh.get(name)) or 0.0) >= least for name in PHASES)


def answers(values: Answers, rows: Iterable[Object], began: float, options: RctConfig) -> dict[str, object]:
    """Return what was answered since ``began``; phases that were lost, but not all, are as they were a moment ago.

    Those that were not asked beside one that is alive may be as old as they like: an outage is all three.
    """
    every = list(rows)
    fresh = _fresh(values, every, began)
    if any(name in fresh for name in PHASES):
        alive = is_alive(values, every, began, options)
        for name in ("rb485.available", *PHASES):
            if name not in fresh and name in values and (alive or began - values[name].at <= AGES[Group.GRID]):
                fresh[name] = values[name].value
    return fresh


def _fresh(values: Answers, rows: Iterable[Object], began: float) -> dict[str, object]:
    return {row.name: values[row.name].value for row in rows if row.name in values and values[row.name].at >= began}
