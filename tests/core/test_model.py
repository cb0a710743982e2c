# SPDX-License-Identifier: GPL-2.0-or-later
"""Every history of a device, a driver and an upsmon: no shutdown for nothing, no shutdown missed.

A device says what it likes, falls silent, hangs, disowns its data; the driver is stopped in order, replaced, or reloaded; upsmon
looks at every phase. Times are small (a poll each second, maxage 6, looks 3), so that all states can be visited. A second test
switches the rules off one after the other and expects that the search finds a history for each.
"""

from __future__ import annotations

import inspect
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from nutdrv_py.core import freshness, guard, lowbattery
from nutdrv_py.core.events import Disowned, Failed, Leave, Limits, Opened, Polled, Tick
from nutdrv_py.core.freshness import State
from nutdrv_py.core.lowbattery import Wish, Wishes
from nutdrv_py.core.variables import status_text
from nutdrv_py.device.reading import Decline, Reading, Status
from tests.core.upsmon import RELEASES, Monitor, Release

POLLFREQ = 2
LOOKS = POLLFREQ + 1
DEADTIME = 3
LIMITS = Limits(pollinterval=1, maxage=6, looks=LOOKS)
WISHES = Wishes(charge=Wish(default=20.0))
FORGET = 40.0
"""Seconds after which two ages make no difference any more."""


def _reading(status: Status, charge: float | None = None, *alarms: str, load: float = 0.0) -> Reading:
    values = {} if charge is None else {"battery.charge": charge}
    return guard.guarded(Reading(values, status, alarms, decline=Decline(load=load, capacity=1000.0)))[0]


OL, OB = Status.OL, Status.OB
GRID = {
    "OL": _reading(OL, 90),
    "ALARM OL": _reading(OL, 90, "hot"),
    "OL CAL": _reading(OL | Status.CAL, 90),
    "OL OFF": _reading(OL | Status.OFF, 90),
    "OL BYPASS": _reading(OL | Status.BYPASS, 90),
    "OL OVER": _reading(OL | Status.OVER, 90),
    "OFF": _reading(Status.OFF, 90),
}
OUTAGE = {
    "OB": _reading(OB, 50),
    "OB low": _reading(OB, 10),
    "OB falling": _reading(OB, 21, load=9000.0),
    "OB without a charge": _reading(OB),
    "OB LB CAL": _reading(OB | Status.LB | Status.CAL, 10),
}
READINGS = {**GRID, **OUTAGE}
LOWS = [OUTAGE[name] for name in ("OB low", "OB falling", "OB LB CAL")]
NAMES = {id(reading): name for name, reading in READINGS.items()}


@dataclass(frozen=True)
class World:
    """Everything at one moment, all times relative to it."""

    driver: State | None
    """None: the driver has ended in order."""
    monitor: Monitor
    phase: int
    """Seconds until upsmon looks."""
    said: Status = Status(0)  # noqa: RUF009
    """OL or OB, as the device said last."""
    silent: float = 0.0
    """Seconds since it said so."""
    low_for: float = 0.0
    """Seconds for which fresh readings off the grid have been low."""
    was_low: bool = False
    """Whether one has been so since the grid was there."""
    served_low: bool = False
    waiting: float = 0.0
    """Seconds since the driver was asked to end, or the device has disowned its data, without news."""


def _in_time() -> float:
    """Seconds of silence off the grid after which the servers must be going down."""
    return max(LIMITS.maxage, LOOKS) + DEADTIME + 2 * POLLFREQ + 1


def _shifted(state: State, by: float) -> State:
    def back(time: float | None, most: float = FORGET) -> float | None:
        return None if time is None else max(-most, round(time - by, 2))

    low = replace(state.low, short_since=back(state.low.short_since))
    return replace(
        state, at=back(state.at), began=back(state.began, 6.0), taken=back(state.taken, LIMITS.maxage + 2.0),  # type: ignore[arg-type]
        settled_since=back(state.settled_since, LOOKS + 1.0), low=low,
    )  # fmt: skip


Key = tuple[object, ...]


def _key(world: World) -> Key:
    """What makes two worlds the same: the values of readings follow from their names and ages."""
    driver = world.driver
    rest = (world.monitor, world.phase, world.said, world.silent, world.low_for, world.was_low, world.served_low, world.waiting)
    if driver is None:
        return rest
    shown = driver.shown
    seen = None if shown is None else (shown.status, shown.alarms)
    state = (
        NAMES.get(id(driver.reading)), seen, driver.phase, driver.taken, driver.began, driver.settled_since, driver.low,
        driver.grid, driver.heard, driver.failing, driver.disowned, driver.leaving,
    )  # fmt: skip
    return (*rest, state)


class Violation(AssertionError):
    pass


def _events(world: World, release: Release) -> Iterator[tuple[str, Callable[[State], State]]]:
    """What may happen at this second, by name."""
    for name, reading in READINGS.items():
        if release.keeps_cal and "CAL" in name:
            continue  # such an upsmon never forgets it: docs/upsmon.md says what follows
        if name in GRID and set(name.split()) - {"OL", "OFF"} - release.against_silence:
            continue  # to this upsmon it is the same as OL
        yield name, lambda state, reading=reading: freshness.after(state, Polled(0.0, reading))
    yield "no answer", lambda state: freshness.after(state, Failed(0.0))
    yield "disowned", lambda state: freshness.after(state, Disowned(0.0))
    yield "hangs", lambda state: state
    if world.driver is not None and not world.driver.leaving:
        yield "stop", lambda state: freshness.after(state, Leave(0.0))
        # Killed and started anew between two looks of upsmon, with the device's first words.
        for name in ("OL", "OL OFF", "OB"):
            yield f"replaced, {name}", lambda state, name=name: _anew(name)


def _anew(name: str) -> State:
    return freshness.after(freshness.after(freshness.begun(0.0, LIMITS, WISHES), Polled(0.0, READINGS[name])), Opened(0.0))


def _said(name: str) -> str:
    return name.rpartition(", ")[2]


class Drivers:
    """What becomes of a driver in a second, worked out once: it depends on the driver and the event alone, not on the upsmon."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, str], tuple[State | None, frozenset[str] | None, State | None]] = {}

    def later(self, driver: State | None, key: Key, name: str, event: Callable[[State], State]) -> tuple[State | None, frozenset[str] | None, State | None]:
        """Return the driver a second later, what it answers then, and the same driver with its times relative to that moment."""
        at = (None if driver is None else key[-1], name)
        if at not in self._known:
            if driver is not None:
                driver = event(driver)
            elif _said(name) in READINGS:
                driver = _anew(_said(name))
            if driver is not None:
                driver = _run(driver, 0.99)
            self._known[at] = driver, _answer(driver), None if driver is None else _shifted(driver, 1.0)
        return self._known[at]


def _step(world: World, key: Key, name: str, event: Callable[[State], State], release: Release, drivers: Drivers) -> World | None:
    """One second. None when upsmon shuts the host down and is right; raises :class:`Violation`."""
    said, silent, low_for, was_low = world.said, world.silent, world.low_for, world.was_low
    reading = READINGS.get(_said(name))
    driver, answer, shifted = drivers.later(world.driver, key, name, event)
    if reading is not None and driver is not None:
        # A new process does not know what was said to the one before it.
        known = said if world.driver is not None and not name.startswith("replaced") else Status(0)
        said, silent = reading.status & (OL | OB) or known, 0.0
    if driver is not None:
        # A new process does not know what the one before it served.
        same = world.driver is not None and not name.startswith("replaced")
        was_low = said is OB and (was_low or reading in LOWS)
        _invariants(driver, said, served_low=world.served_low and same, may_be_low=was_low)
    fresh_low = reading is not None and said is OB and reading.values.get("battery.charge", 99) <= 20  # type: ignore[operator]
    low_for = low_for + 1.0 if fresh_low else 0.0
    waits = driver is not None and driver.shown is not None and (driver.leaving or driver.disowned)
    waiting = world.waiting + 1.0 if waits and reading is None else 0.0
    monitor, critical = world.monitor.later(1.0), False
    phase = world.phase - 1
    if phase == 0:
        phase = POLLFREQ
        told = world.monitor
        monitor, critical = monitor.look(answer, release, DEADTIME)
        if critical and said is OL and not (monitor.off is not None and answer is not None):
            raise Violation(f"shut down on the grid: upsmon {release.name} remembers {sorted(told.flags)}, sees {answer}")
        if critical:
            return None
    if said is OB and silent + 1 > _in_time():
        raise Violation(f"not shut down although the device is silent for {silent + 1:.0f} s off the grid")
    if waiting > LOOKS + 1 and answer is not None:
        raise Violation(f"the driver has not ended or gone stale for {waiting:.0f} s")
    if silent > max(LIMITS.maxage, LOOKS) + LOOKS + 1 and answer is not None:
        raise Violation(f"data are served that are {silent:.0f} s old")
    if low_for > POLLFREQ + 1:
        raise Violation(f"not shut down although the device says for {low_for:.0f} s that the battery is low")
    if driver is not None and driver.leaving and freshness.served(driver, driver.at).may_end:
        shifted = None
    return World(
        shifted,
        Monitor(monitor.flags, min(monitor.silent, DEADTIME + 1.0), None if monitor.off is None else min(monitor.off, 4.0)),
        phase, said, min(silent + 1.0, _in_time() + 1.0), min(low_for, 9.0),
        was_low=was_low, served_low="LB" in (answer or ()), waiting=min(waiting, 9.0),
    )  # fmt: skip


def _run(state: State, until: float) -> State:
    """Let the timer do its work up to that time."""
    while (look := freshness.next_look(state)) is not None and look <= until:
        state = freshness.after(state, Tick(look))
    return freshness.after(state, Tick(until))


def _answer(driver: State | None) -> frozenset[str] | None:
    if driver is None or driver.shown is None or freshness.served(driver, driver.at).stale:
        return None
    return frozenset(status_text(driver.shown.status, driver.shown.alarms).split())


def _invariants(driver: State, said: Status, *, served_low: bool, may_be_low: bool) -> None:
    if driver.shown is None:
        return
    status = driver.shown.status
    if Status.LB in status and not may_be_low:
        raise Violation("LB although the battery was never low in this outage")
    if status & (OL | OB) not in (said, Status(0)):
        raise Violation(f"the device said {said}, {status} is served")
    if not status.says_supply:
        raise Violation(f"{str(status)!r} says nothing")
    if Status.LB in status and OB not in status:
        raise Violation("LB without OB")
    if Status.CAL in status and Status.LB in status:
        raise Violation("CAL hides LB")
    charge = driver.reading.values.get("battery.charge") if driver.reading is not None else None
    above = charge is not None and float(charge) > 20 and driver.phase is freshness.Phase.CURRENT
    if served_low and said is OB and Status.LB not in status and not above:
        raise Violation("LB was taken back although no fresh charge is above its mark")


def search(release: Release, most: int = 10**9) -> int:
    """Visit every state; returns how many there are. Raises :class:`Violation` with the history that leads to it."""
    seen: dict[Key, tuple[Key | None, str]] = {}
    todo: deque[World] = deque()
    drivers = Drivers()
    for phase in range(1, POLLFREQ + 1):
        world = World(freshness.begun(0.0, LIMITS, WISHES), Monitor(), phase)
        seen[_key(world)] = None, ""
        todo.append(world)
    while todo and len(seen) < most:
        world = todo.popleft()
        key = _key(world)
        for name, event in _events(world, release):
            try:
                after = _step(world, key, name, event, release, drivers)
            except Violation as violation:
                raise Violation(f"{violation}; the history: {_history(seen, key)} | {name}") from None
            if after is not None and (found := _key(after)) not in seen:
                seen[found] = key, name
                todo.append(after)
    return len(seen)


def _history(seen: dict[Key, tuple[Key | None, str]], key: Key | None) -> str:
    names: list[str] = []
    while key is not None:
        key, name = seen[key]
        names.append(name)
    return " | ".join(reversed(names[:-1]))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_no_history_shuts_down_for_nothing_or_misses_a_shutdown(release: Release) -> None:
    assert search(release) > 1000


@pytest.mark.timeout(400)
@pytest.mark.parametrize("maxage", [2, 9])
def test_nor_does_a_maxage_shorter_than_a_look_or_a_long_one(maxage: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "LIMITS", replace(LIMITS, maxage=maxage))
    for name in ("OL CAL", "OL BYPASS", "OL OVER", "OFF", "OB LB CAL"):
        monkeypatch.delitem(READINGS, name)
    assert search(RELEASES[-1]) > 1000


RULES: tuple[tuple[str, Callable[..., object], str, str], ...] = (
    ("silence waits until upsmon has looked", freshness._seen, "at - since >= limits.looks", "True"),
    ("silence never comes while loud tokens are seen", freshness._decided, "not (on_grid and _loud(shown))", "True"),
    ("the wait begins anew when the grid has turned", freshness._decided, "is None or turned else", "is None else"),
    ("a new process knows nothing of what was seen", freshness.after, "settled_since=None", "settled_since=-99.0"),
    ("loud tokens are withdrawn", freshness._muted, "~_MUTABLE", "~Status(0)"),
    ("OFF is among them", freshness._loud, "LOUD", "(LOUD & ~Status.OFF)"),
    ("BYPASS is among them", freshness._loud, "LOUD", "(LOUD & ~Status.BYPASS)"),
    ("CAL is among them", freshness._loud, "LOUD", "(LOUD & ~Status.CAL)"),
    ("alarms are among them", freshness._loud, "reading.alarms or ", ""),
    ("alarms are withdrawn", freshness._muted, "alarms=(), ", ""),
    ("OFF alone says the grid's last state again", freshness._muted, "| grid", ""),
    ("the grid is what the device said last", freshness._decided, "replace(shown, status=status", "replace(shown, status=Status.OL"),
    ("silence off the grid is not muted", freshness._decided, "mute = on_grid and", "mute ="),
    ("old data go stale", freshness._decided, "state.disowned or age > limits.maxage", "state.disowned"),
    ("disowned data go stale", freshness._decided, "state.disowned or age", "age"),
    ("what went stale stays stale", freshness._decided, "state.phase is Phase.STALE or ", ""),
    ("a charge that vanishes takes no LB away", lowbattery.after, "elif reached is False and fresh", "elif not reached"),
    ("a charge that was counted down takes no LB away", lowbattery.after, "reached is False and fresh", "reached is False"),
    ("LB is derived from the charge", lowbattery.after, "reasons.add(name)", "pass"),
    ("OL ends LB", lowbattery.after, "return Low(known=known)", "return replace(low, known=known)"),
    ("CAL never hides LB", guard._status, "status &= ~Status.CAL", "pass"),
)
"""Each rule: its name, the function that keeps it, and how the function looks without it."""

NO_PROOF = {
    "a charge that was counted down takes no LB away": "a counted charge only falls, and no mark is lowered in this world",
}
"""Rules that this world cannot break."""


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("rule", "function", "old", "new"), RULES, ids=[row[0] for row in RULES])
def test_the_search_finds_each_rule_that_is_switched_off(
    rule: str, function: Callable[..., object], old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = inspect.getsource(function)
    assert old in source, "the function has changed; write the rule anew"
    namespace = dict(vars(sys.modules[function.__module__]))
    exec(compile(source.replace(old, new), function.__module__, "exec"), namespace)
    module = sys.modules[function.__module__]
    monkeypatch.setattr(module, function.__name__, namespace[function.__name__])
    if module is guard:
        reading = _reading(OB | Status.LB | Status.CAL, 10)
        monkeypatch.setitem(READINGS, "OB LB CAL", reading)
        monkeypatch.setattr(sys.modules[__name__], "LOWS", [*LOWS, reading])
    if rule in NO_PROOF:
        assert search(RELEASES[-1], most=5000)
        return
    with pytest.raises(Violation):
        for release in RELEASES[2:]:
            search(release)
