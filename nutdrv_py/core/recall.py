# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of the house survives a restart of the driver: the last charge, what it takes to count it down, and what the
backend had seen of the device. Pure.

A driver that is started in an outage may get no charge from its device, only the state of the grid. Without a charge there is no
LB, and the battery runs empty unseen. What the device showed before the outage may also decide which of its answers count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from nutdrv_py.core.lowbattery import CHARGE
from nutdrv_py.device.mapping import to_number
from nutdrv_py.device.reading import Decline, Reading, Status

__all__ = ["KEPT", "Memory", "Recall", "due", "noted", "parsed", "seen_before"]

KEPT = 86400.0
"""Maximum age of a remembered charge, in seconds."""

EACH = 60.0
"""Maximum seconds between two notes off the grid."""

RENEWED = KEPT / 4
"""Maximum seconds between two notes on the grid: a battery that stays full must not be forgotten."""

LONGEST = 200
"""Maximum length of what a backend has seen."""

STEP = 1.0
"""Percentage points by which the charge must have changed to be noted sooner."""

SOURCE = "experimental.battery.charge.source"


@dataclass(frozen=True, slots=True)
class Memory:
    """The battery at wall time ``wall`` (seconds since 1970): percent, W, Wh, percent, percent.

    ``seen`` is what the backend had seen of the device; the house was last on the grid with it at wall time ``seen_wall``.
    """

    wall: float
    charge: float
    off_grid: bool
    load: float = 0.0
    capacity: float | None = None
    low: float | None = None
    cutoff: float | None = None
    seen: str = ""
    seen_wall: float = 0.0

    def values(self) -> dict[str, object]:
        """Return the fields by name, for JSON."""
        return asdict(self)


_RANGES = {
    "wall": (0, 1e11), "seen_wall": (0, 1e11), "charge": (0, 100), "load": (0, 1e6), "capacity": (1, 1e9), "low": (0, 100),
    "cutoff": (0, 100),
}  # fmt: skip


def parsed(found: object) -> Memory | None:
    """Return the memory that a JSON object holds; None when anything in it is not what :class:`Memory` can hold."""
    if not isinstance(found, Mapping) or not isinstance(found.get("off_grid"), bool):
        return None
    numbers: dict[str, float | None] = {}
    for name, (lowest, highest) in _RANGES.items():
        raw = found.get(name)
        number = to_number(raw)
        if raw is not None and (number is None or not lowest <= number <= highest):
            return None
        numbers[name] = number
    wall, charge, seen = numbers["wall"], numbers["charge"], found.get("seen", "")
    if wall is None or charge is None or not isinstance(seen, str) or len(seen) > LONGEST:
        return None
    load, capacity = numbers["load"] or 0.0, numbers["capacity"]
    seen_wall = numbers["seen_wall"] or 0.0
    return Memory(wall, charge, found["off_grid"], load, capacity, numbers["low"], numbers["cutoff"], seen, seen_wall)


def seen_before(memory: Memory | None, wall: float) -> str:
    """Return what the backend had seen of the device before this start at ``wall``; empty when that is too long ago.

    It counts from the grid on, so that a witness which broke does not keep the house off the grid for ever. A clock that was set
    back does not make it older: a machine without a battery for its clock starts in the past.
    """
    return memory.seen if memory is not None and wall - memory.seen_wall <= KEPT else ""


def _charge(reading: Reading) -> float | None:
    decline = reading.decline
    if decline is not None and decline.charge is not None:
        return decline.charge
    return to_number(reading.values.get(CHARGE))


def noted(reading: Reading, wall: float, seen: str = "") -> Memory | None:
    """Return what is to be kept of a served reading; None while no charge is known."""
    charge, decline = _charge(reading), reading.decline or Decline()
    if charge is None:
        return None
    off_grid = Status.OB in reading.status
    return Memory(wall, charge, off_grid, decline.load, decline.capacity, decline.low, decline.cutoff, seen[:LONGEST], wall)


def due(last: Memory | None, new: Memory) -> bool:
    """Return whether ``new`` is worth being written after ``last``."""
    if last is None or (last.off_grid, last.seen) != (new.off_grid, new.seen) or abs(new.charge - last.charge) >= STEP:
        return True
    return not 0 <= new.wall - last.wall < (EACH if new.off_grid else RENEWED)


class Recall:
    """Completes readings by what was remembered, until the device itself has reported a charge."""

    def __init__(self, memory: Memory | None) -> None:
        self._memory = self._noted = memory
        self._since: float | None = None
        self._before = 0.0

    def news(self, reading: Reading, wall: float, seen: str = "") -> Memory | None:
        """Return what is to be written of a served reading at wall time ``wall``; None when that is known already."""
        memory = noted(reading, wall, seen)
        if memory is None or not due(self._noted, memory):
            return None
        if memory.off_grid:
            memory = replace(memory, seen_wall=self._noted.seen_wall if self._noted is not None else 0.0)
        self._noted = memory
        return memory

    def complete(self, reading: Reading, at: float, wall: float) -> Reading:
        """Return ``reading``, taken at monotonic time ``at``, with the charge that is left if it has none off the grid.

        The time before this driver counts if the house was off the grid when the charge was noted; a clock that was set back
        counts as no time.
        """
        memory = self._memory
        if memory is None:
            return reading
        if _charge(reading) is not None or (self._since is None and wall - memory.wall > KEPT):
            self._memory = None
            return reading
        if Status.OB not in reading.status:
            return reading
        if self._since is None:
            self._since = at
            self._before = max(0.0, wall - memory.wall) if memory.off_grid else 0.0
        given = reading.decline or Decline()
        load = max(memory.load, given.load) if given.measured else memory.load or given.load
        capacity = memory.capacity or given.capacity
        lost = load * (self._before + at - self._since) / 36 / capacity if capacity else 0.0
        charge = max(0.0, memory.charge - lost)
        decline = replace(
            given,
            charge=charge,
            load=load,
            capacity=capacity,
            low=memory.low if given.low is None else given.low,
            cutoff=memory.cutoff if given.cutoff is None else given.cutoff,
        )
        values = {**reading.values, CHARGE: charge, SOURCE: "remembered over a restart and counted down"}
        return replace(reading, values=values, decline=decline)
