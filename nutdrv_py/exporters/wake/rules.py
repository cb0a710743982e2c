# SPDX-License-Identifier: GPL-2.0-or-later
"""Which machines get a magic packet after an outage. Everything that decides is here; pure: looks and times in, packets out.

1. A machine is woken only if it was up in the outage: it answered at least once while the house was off the grid. One that its
   owner had switched off before stays off.
2. A packet is sent only on the grid: it has been there without a break for ``after`` seconds, and the charge is at or above the
   machine's mark and above the low mark. Off the grid, with stale data, under FSD or OFF none is sent. Without a charge none is
   sent either, unless ``above`` is 0.
3. A packet is sent only to a machine that has just been asked and did not answer.
4. Two packets to a machine are ``interval`` seconds apart, and ``attempts`` of them are all, until it has been seen up in an
   outage again. :data:`LONGEST` seconds after the grid came back the outage is forgotten.
5. A machine counts as back when it has answered for :data:`STEADY` seconds: one that still shuts down answers for a while, too.
6. Which machines wait, the packets that were sent and the time at which the grid came back survive a restart of the driver.
   After it the grid must be there for ``after`` seconds anew.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from nutdrv_py.exporters.config import Machine, Wake

__all__ = ["EACH", "LONGEST", "OFF_GRID", "STEADY", "Grid", "Look", "Progress", "State", "Wanted", "after", "asked", "progress"]

LONGEST = 86400.0
"""Maximum seconds from the return of the grid to the last packet: a winter's day may pass until the charge is above its mark."""

STEADY = 300.0
"""Seconds for which a machine must answer to count as back; a shutdown takes less."""

OFF_GRID = 5.0
"""Seconds between two questions to a machine that has not answered in this outage; in a short one it must be seen up soon."""

EACH = 15.0
"""Seconds between two questions to a machine that waits to be woken, on the grid."""


class Grid(enum.Enum):
    """What the device reports about the grid."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A machine that was up in the outage."""

    sent: int = 0
    """Packets since it was last seen up in an outage."""
    at: float | None = None
    """Monotonic time of the last packet of this run."""
    since: float | None = None
    """Monotonic time since which it has answered each question on the grid."""


@dataclass(frozen=True, slots=True)
class State:
    """What must be remembered. ``back`` and ``ended`` are monotonic times."""

    wanted: Mapping[str, Wanted] = field(default_factory=dict)
    back: float | None = None
    """Since when the grid has been there without a break; None while it is not."""
    ended: float | None = None
    """When the grid came back after the outage; None before, and when no machine waits."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is known at monotonic time ``at``. ``answers`` holds the machines that were asked just before."""

    at: float
    grid: Grid
    charge: float | None = None
    """Percent; the lowest of all devices, None when one of them publishes none."""
    low: float | None = None
    """The highest low mark, in percent."""
    answers: Mapping[str, bool] = field(default_factory=dict)


def asked(state: State, names: Iterable[str], grid: Grid, at: float, last: Mapping[str, float]) -> list[str]:
    """Return the machines to ask now; ``last`` is when each was asked. On the grid only those that wait are asked."""
    match grid:
        case Grid.OFF:
            # One that has answered in this outage needs no further question.
            due = [name for name in names if state.wanted.get(name) != Wanted()]
            pause = OFF_GRID
        case Grid.ON:
            due = [name for name in names if name in state.wanted]
            pause = EACH
        case _:
            return []
    return [name for name in due if at - last.get(name, float("-inf")) >= pause]


def after(state: State, look: Look, options: Wake) -> tuple[State, tuple[Machine, ...]]:
    """Return the state after ``look``, and the machines that get a packet now."""
    if look.grid is Grid.OFF:
        seen = {name: Wanted() for name, up in look.answers.items() if up}
        return State({**_unanswered(state), **seen}), ()
    if look.grid is Grid.UNKNOWN:
        return replace(state, back=None, wanted=_unanswered(state)), ()
    back = look.at if state.back is None else state.back
    ended = look.at if state.ended is None else state.ended
    if look.at - ended > LONGEST:
        return State(back=back), ()
    wanted: dict[str, Wanted] = {}
    packets: list[Machine] = []
    for machine in options.machines:
        one = state.wanted.get(machine.name)
        if one is None:
            continue
        up = look.answers.get(machine.name)
        if up:
            since = look.at if one.since is None else one.since
            if look.at - since >= STEADY and look.at - back >= options.after:
                continue
            one = replace(one, since=since)
        elif up is False:
            one = replace(one, since=None)
            paused = one.at is None or look.at - one.at >= options.interval
            if paused and one.sent < options.attempts and not _waits(machine, back, look, options):
                one = replace(one, sent=one.sent + 1, at=look.at)
                packets.append(machine)
        wanted[machine.name] = one
    return State(wanted, back, ended if wanted else None), tuple(packets)


def _unanswered(state: State) -> dict[str, Wanted]:
    return {name: replace(one, since=None) for name, one in state.wanted.items()}


def _waits(machine: Machine, back: float | None, look: Look, options: Wake) -> str:
    """Return what a packet to ``machine`` waits for; empty when for nothing."""
    above = options.above if machine.above is None else machine.above
    if look.grid is not Grid.ON or back is None:
        return "waits for the grid"
    if look.at - back < options.after:
        return f"waits until the grid has been back for {options.after:g} s"
    if above > 0 and look.charge is None:
        return "waits for a charge: the device publishes none"
    if look.charge is not None and (look.charge < above or (look.low is not None and look.charge <= look.low)):
        return f"waits until the charge is {max(above, look.low or 0.0):g} %"
    return ""


@dataclass(frozen=True, slots=True)
class Progress:
    """A machine for people and graphs. ``waits``: it was up in the outage and is not back yet."""

    name: str
    waits: bool
    sent: int
    text: str


def progress(state: State, look: Look, options: Wake) -> list[Progress]:
    """Return how far each machine is."""
    found = []
    for machine in options.machines:
        one = state.wanted.get(machine.name)
        if one is None:
            found.append(Progress(machine.name, False, 0, "nothing to do"))
            continue
        if look.grid is Grid.OFF and one == Wanted():
            text = "was up in this outage"
        elif one.since is not None:
            text = "answers"
        elif one.sent >= options.attempts:
            text = "does not wake up"
        else:
            text = _waits(machine, state.back, look, options) or "is being woken"
        found.append(Progress(machine.name, True, one.sent, text))
    return found
