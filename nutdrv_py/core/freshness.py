# SPDX-License-Identifier: GPL-2.0-or-later
"""What upsd may see of a device, and when: all that decides on it is in this file and in :mod:`~nutdrv_py.core.lowbattery`.

Two rules about this file. First, all that decides is here: no other module asks how old a reading is. Second, nothing here
knows a clock, a task, a log or a backend: every time is an argument, in monotonic seconds.

The rules that it keeps (tests/core/test_model.py visits every history and proves them against a model of upsmon):

1. On the grid, neither DATASTALE nor an orderly end comes before upsmon has had ``looks`` seconds to see a status without
   ALARM, CAL, BYPASS, OVER, OFF and OB. Those tokens are withdrawn first, then the time is waited. A new process begins as if it
   had just shown one: it does not know what the one before it showed.
2. The grid is what the device reported last about the grid. No error, age, restart or reload changes OL or OB.
3. LB comes only with OB and, once served, stays until OL, until a fresh charge or runtime is above its mark again, or while a
   generator charges the battery.
4. LB is derived from charge and runtime for every backend (:mod:`~nutdrv_py.core.lowbattery`).
5. A reading ages from the moment it was taken, not from the moment it was handed over.
6. Off the grid the data are stale as soon as they are older than ``maxage``, or the device reports so itself, but not before
upsmon has had ``looks`` seconds to see OB: it shuts down for the silence of a UPS only if it knows that it is on battery.

upsmon's side of it: clients/upsmon.c, parse_status() and is_ups_critical(), of NUT 2.8.0 to 2.8.5.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from nutdrv_py.core import lowbattery
from nutdrv_py.core.events import Accepted, Changed, Disowned, Early, Event, Failed, Leave, Limited, Limits, Opened, Polled
from nutdrv_py.core.lowbattery import Low, Wishes
from nutdrv_py.device.reading import Reading, Status

__all__ = ["FIRST_HOLD", "FIRST_WAIT", "FRESH", "LOUD", "Phase", "Served", "State", "after", "begun", "next_look", "served"]

FIRST_WAIT = 5.0
"""Seconds the start waits for any answer of the device before stale data are served; upsdrvctl would wait 45."""

FIRST_HOLD = 20.0
"""Seconds an incomplete first reading on the grid is held back, and the start with it: clients see all variables at once."""

FRESH = 5.0
"""Seconds beyond the poll interval for which a reading is current; an older one coasts."""

FAILED_FRESH = 1.0
"""The same in seconds once the last poll has failed."""

PAST = 0.01
"""Seconds after a limit at which to look: timers and sums of floats are not exact."""

STEP = 1.0
"""Seconds between two looks at a reading that coasts: its age and charge move."""

LOUD = Status.OB | Status.CAL | Status.BYPASS | Status.OVER | Status.OFF
"""Tokens for which upsmon, as for ALARM, shuts down when the UPS goes silent (some of them from 2.8.1 or 2.8.3 on)."""

_MUTABLE = LOUD & ~Status.OB
_GRID = Status.OL | Status.OB


class Phase(enum.Enum):
    """What is served."""

    WAITING = "nothing was heard yet"
    HELD = "an incomplete first reading is held back"
    CURRENT = "the reading as the device gave it"
    COASTING = "an older reading, counted down off the grid"
    MUTED = "a reading on the grid without its loud tokens"
    STALE = "DATASTALE"


@dataclass(frozen=True, slots=True)
class State:
    """All that decides what is served next. A value: each event gives a new one."""

    limits: Limits
    wishes: Wishes
    began: float
    at: float
    phase: Phase = Phase.WAITING
    reading: Reading | None = None
    """The device's last word, as it was given."""
    taken: float = float("-inf")
    """Monotonic time of that report."""
    held: tuple[Reading, float] | None = None
    """An incomplete first reading and the monotonic time of it."""
    shown: Reading | None = None
    """What is served of it from ``at`` on; its status holds LB as it was decided."""
    low: Low = Low()  # noqa: RUF009 - a frozen value
    grid: Status = Status(0)  # noqa: RUF009
    """OL or OB, as the device reported last; neither before its first report."""
    heard: bool = False
    """Whether a poll has come to an end, well or not."""
    failing: bool = False
    disowned: bool = False
    leaving: bool = False
    settled_since: float | None = None
    """Since when upsmon can see what it must see before silence: on the grid a status without loud tokens, off it OB."""


@dataclass(frozen=True, slots=True)
class Served:
    """What upsd is to see: ``reading`` (None: nothing is known yet), or that it is ``stale``."""

    phase: Phase
    reading: Reading | None
    stale: bool
    age: float
    """Seconds since the device reported it; infinite when it never did."""
    ready: bool
    """Whether the socket may be opened: a state, be it a stale one, can be served."""
    may_end: bool
    """Whether the driver may end: upsmon has seen what it must see before silence."""


def begun(at: float, limits: Limits, wishes: Wishes = Wishes()) -> State:  # noqa: B008 - a frozen value
    """Return the state of a process that starts at ``at``."""
    return State(limits, wishes, began=at, at=at)


def after(state: State, event: Event) -> State:
    """Return the state after ``event``. Time never runs back: an event from before counts as now."""
    at = max(state.at, event.at)
    match event:
        case Polled(_, reading):
            state = _heard(replace(state, failing=False, heard=True), reading, at)
        case Early(_, reading):
            first = state.reading is None and Status.OB not in reading.status
            state = replace(state, held=(reading, _taken(reading, at))) if first else _heard(state, reading, at)
        case Failed():
            state = replace(state, failing=True, heard=True)
        case Disowned():
            state = replace(state, failing=True, heard=True, disowned=True)
        case Accepted(_, name, value) if state.reading is not None:
            state = replace(state, reading=replace(state.reading, values={**state.reading.values, name: value}))
        case Changed(_, wishes):
            state = replace(state, wishes=wishes)
        case Limited(_, limits):
            state = replace(state, limits=limits)
        case Leave():
            state = replace(state, leaving=True)
        case Opened():
            state = replace(state, settled_since=None)
    if state.held is not None and state.reading is None and (at - state.began >= FIRST_HOLD or isinstance(event, Failed)):
        state = _believed(state, *state.held)
    return _decided(state, at)


def _taken(reading: Reading, at: float) -> float:
    return at if reading.at is None else min(reading.at, at)


def _heard(state: State, reading: Reading, at: float) -> State:
    """Believe a reading, unless it is older than what is known or too old to be served."""
    taken = _taken(reading, at)
    return state if taken < state.taken or at - taken > state.limits.maxage else _believed(state, reading, taken)


def _believed(state: State, reading: Reading, taken: float) -> State:
    news = taken > state.taken
    return replace(
        state, reading=reading, taken=taken, held=None, grid=reading.status & _GRID or state.grid,
        disowned=state.disowned and not news, phase=Phase.CURRENT if news else state.phase,
    )  # fmt: skip


def _decided(state: State, at: float) -> State:
    """Decide what is served from ``at`` on."""
    if state.reading is None:
        return replace(state, at=at, phase=Phase.WAITING if state.held is None else Phase.HELD)
    age, limits = at - state.taken, state.limits
    on_grid = state.grid is Status.OL
    old = age > limits.pollinterval + FRESH or (state.failing and age > FAILED_FRESH)
    shown = lowbattery.coasted(state.reading, age) if old else state.reading
    if not shown.status & _GRID and state.grid is Status.OB:
        # OFF alone: an upsmon that has not seen the outage yet must see it now.
        shown = replace(shown, status=shown.status | Status.OB)
    low = lowbattery.after(state.low, shown, state.wishes, at, fresh=not old)
    status = shown.status & ~Status.LB
    shown = replace(shown, status=status | Status.LB if low.reasons else status)
    silent = state.disowned or age > limits.maxage
    mute = on_grid and (silent or state.leaving or age > limits.mute)
    if mute:
        shown = _muted(shown, state.grid)
    since = None
    if not (on_grid and _loud(shown)):
        turned = state.shown is None or (state.shown.status & _GRID) != (shown.status & _GRID)
        since = at if state.settled_since is None or turned else state.settled_since
    # What went stale stays so until the device speaks again, or a longer maxage makes its last word young enough.
    stale = silent and (state.phase is Phase.STALE or _seen(since, at, limits))
    phase = Phase.STALE if stale else Phase.MUTED if mute else Phase.COASTING if old else Phase.CURRENT
    return replace(state, at=at, shown=shown, low=low, phase=phase, settled_since=None if stale else since)


def _seen(since: float | None, at: float, limits: Limits) -> bool:
    """Return whether every upsmon has looked since then."""
    return since is not None and at - since >= limits.looks


def _loud(reading: Reading) -> bool:
    return bool(reading.alarms or reading.status & LOUD)


def _muted(reading: Reading, grid: Status) -> Reading:
    # OFF alone is no state of the grid; without it the status would be empty, so the grid's last state is served again.
    return replace(reading, alarms=(), status=(reading.status & ~_MUTABLE) | grid)


def served(state: State, at: float) -> Served:
    """Return what is served at ``at``, a time before the next event."""
    if state.reading is None:
        waited = at - state.began >= FIRST_WAIT and state.held is None
        ready = waited or (state.heard and state.held is None)
        return Served(state.phase, None, True, float("inf"), ready, may_end=True)
    stale = state.phase is Phase.STALE
    may_end = stale or _seen(state.settled_since, at, state.limits)
    return Served(state.phase, state.shown, stale, max(0.0, at - state.taken), ready=True, may_end=may_end)


def next_look(state: State) -> float | None:
    """Return when time alone changes what is served; None: not before the next event."""
    limits, taken = state.limits, state.taken
    if state.reading is None:
        times = [state.began + FIRST_WAIT, state.began + FIRST_HOLD]
    elif state.phase is Phase.STALE:
        times = []
    else:
        times = [taken + limits.pollinterval + FRESH, taken + limits.mute, taken + limits.maxage]
        if state.phase in (Phase.COASTING, Phase.MUTED):
            times.append(state.at + STEP)
        if state.failing:
            times.append(taken + FAILED_FRESH)
        if state.low.short_since is not None:
            times.append(state.low.short_since + lowbattery.SHORT)
        if state.settled_since is not None:
            times.append(state.settled_since + limits.looks)
    return min((time + PAST for time in times if time + PAST > state.at), default=None)
