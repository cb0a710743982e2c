# SPDX-License-Identifier: GPL-2.0-or-later
"""A driver that is restarted in an outage goes on from the last charge, until the device tells one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.core.driver import Driver
from nutdrv_py.core.recall import EACH, KEPT, RENEWED, Memory, Recall, due, noted, parsed, seen_before
from nutdrv_py.device.reading import Decline, Reading, Status
from tests.conftest import FakeClock
from tests.core.test_driver import Device, World
from tests.device.test_mapping import json_values

WALL = 1_800_000_000.0
OUTAGE = Memory(WALL, 40.0, True, load=1800.0, capacity=10_000.0, low=20.0, cutoff=10.0)
GRID = Memory(WALL, 40.0, False, load=1800.0, capacity=10_000.0, low=20.0, cutoff=10.0)
NOTHING = Reading({}, Status.OB)


def left(memory: Memory | None, reading: Reading, *, away: float, later: float = 0.0) -> float | None:
    """Return the charge that decides, ``later`` seconds after a start that came ``away`` seconds after the memory."""
    recall = Recall(memory)
    recall.complete(reading, 1000.0, WALL + away)
    decline = recall.complete(reading, 1000.0 + later, WALL + away + later).decline
    return decline.charge if decline else None


@pytest.mark.parametrize(
    ("memory", "reading", "away", "later", "charge"),
    [
        (OUTAGE, NOTHING, 0, 0, 40),
        (OUTAGE, NOTHING, 200, 0, 39),
        (OUTAGE, NOTHING, 200, 1000, 34),
        (OUTAGE, NOTHING, -3600, 200, 39),
        (OUTAGE, NOTHING, KEPT + 1, 0, None),
        (OUTAGE, NOTHING, KEPT - 1, 0, 0),
        (GRID, NOTHING, 3600, 0, 40),
        (GRID, NOTHING, 3600, 200, 39),
        (None, NOTHING, 0, 0, None),
        (OUTAGE, Reading({}, Status.OL), 10, 10, None),
        (OUTAGE, Reading({"battery.charge": 77}, Status.OB), 10, 10, None),
        (OUTAGE, Reading({}, Status.OB, decline=Decline(charge=77.0)), 10, 10, 77),
        (OUTAGE, Reading({}, Status.OB, decline=Decline(load=3600.0)), 0, 100, 39),
        (OUTAGE, Reading({}, Status.OB, decline=Decline(load=3600.0, measured=False)), 0, 200, 39),
    ],
)
def test_the_charge_that_is_left_after_a_restart(memory: Memory | None, reading: Reading, away: float, later: float, charge: float | None) -> None:
    assert left(memory, reading, away=away, later=later) == (None if charge is None else pytest.approx(charge))


def test_once_the_device_has_told_a_charge_nothing_is_remembered() -> None:
    recall = Recall(OUTAGE)
    assert recall.complete(NOTHING, 0, WALL).decline is not None
    recall.complete(Reading({"battery.charge": 77}, Status.OB), 5, WALL + 5)
    assert recall.complete(NOTHING, 10, WALL + 10) is NOTHING


def test_a_mark_that_the_backend_knows_comes_before_the_remembered_one() -> None:
    found = Recall(OUTAGE).complete(Reading({}, Status.OB, decline=Decline(low=30.0)), 0, WALL).decline
    assert found is not None
    assert (found.low, found.cutoff, found.capacity) == (30, 10, 10_000)


@pytest.mark.parametrize(
    ("last", "new", "wanted"),
    [
        (None, GRID, True),
        (GRID, Memory(WALL + 9999, 40.9, False), False),
        (GRID, Memory(WALL + RENEWED, 40.0, False), True),
        (GRID, Memory(WALL + 1, 40.0, False, seen="a switch"), True),
        (GRID, Memory(WALL + 1, 41.0, False), True),
        (GRID, Memory(WALL + 1, 40.0, True), True),
        (OUTAGE, Memory(WALL + EACH - 1, 39.5, True), False),
        (OUTAGE, Memory(WALL + EACH, 39.9, True), True),
        (OUTAGE, Memory(WALL - 5, 40.0, True), True),
    ],
)
def test_a_note_is_due_with_each_percent_and_each_minute_of_an_outage(last: Memory | None, new: Memory, wanted: bool) -> None:
    assert due(last, new) is wanted


@pytest.mark.parametrize("memory", [OUTAGE, GRID, Memory(WALL, 0.0, True), Memory(WALL, 9.0, True, seen="a switch", seen_wall=1.0)])
def test_what_was_kept_is_read_again(memory: Memory) -> None:
    assert parsed(json.loads(json.dumps(memory.values()))) == memory


@pytest.mark.parametrize(
    "wrong",
    [
        {"charge": 101}, {"charge": -1}, {"charge": None}, {"charge": "x"}, {"wall": None}, {"wall": 1e300}, {"off_grid": 1},
        {"load": -5}, {"capacity": 0}, {"capacity": float("nan")}, {"low": 300}, {"cutoff": []}, {"charge": True},
        {"seen": 1}, {"seen": "x" * 999}, {"seen_wall": -1},
    ],
)  # fmt: skip
def test_a_file_with_anything_wrong_in_it_is_no_memory(wrong: dict[str, object]) -> None:
    assert parsed({**OUTAGE.values(), **wrong}) is None


@given(json_values)
def test_any_json_is_taken_without_an_exception(found: object) -> None:
    parsed(found)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e6))
def test_whatever_the_clocks_do_the_charge_stays_between_nothing_and_what_it_was(wall: float, at: float, later: float) -> None:
    recall = Recall(OUTAGE)
    for moment in (at, at + later):
        decline = recall.complete(NOTHING, moment, wall).decline
        assert decline is None or (decline.charge is not None and 0 <= decline.charge <= 40)


def test_what_is_noted_is_what_decides() -> None:
    reading = Reading({"battery.charge": 50}, Status.OB, decline=Decline(load=900.0, capacity=5000.0, charge=44.0, low=20.0))
    assert noted(reading, WALL) == Memory(WALL, 44.0, True, 900.0, 5000.0, 20.0, seen_wall=WALL)
    assert noted(NOTHING, WALL) is None


@pytest.mark.parametrize(("away", "seen"), [(0, "a switch"), (KEPT - 1, "a switch"), (KEPT + 1, ""), (-9e8, "a switch")])
def test_what_the_backend_had_seen_holds_for_a_day_from_the_last_time_on_the_grid(away: float, seen: str) -> None:
    assert seen_before(Memory(WALL + 3600, 50.0, True, seen="a switch", seen_wall=WALL), WALL + away) == seen
    assert seen_before(None, WALL) == ""


def test_in_an_outage_what_was_seen_is_as_old_as_the_grid() -> None:
    recall = Recall(None)
    first = recall.news(Reading({"battery.charge": 50}, Status.OL), WALL, "a switch")
    assert first is not None
    assert first.seen_wall == WALL
    for later in (100.0, 5000.0):
        note = recall.news(Reading({"battery.charge": 50}, Status.OB), WALL + later, "a switch")
        assert note is not None
        assert (note.wall, note.seen, note.seen_wall) == (WALL + later, "a switch", WALL)
    begun_in_it = Recall(None).news(Reading({"battery.charge": 50}, Status.OB), WALL, "a switch")
    assert begun_in_it is not None
    assert seen_before(begun_in_it, WALL) == ""


async def test_the_driver_gives_the_backend_what_the_one_before_had_seen_and_keeps_what_it_sees(clock: FakeClock) -> None:
    made = World(clock)
    memory = Memory(clock.wall(), 50.0, False, seen="a switch", seen_wall=clock.wall())
    Driver(made.settings, made.device, clock, memory=memory)
    assert made.device.seen == "a switch"
    async with World(clock) as world:
        kept: list[Memory] = []
        world.driver.keep = kept.append
        assert world.device.seen == ""
        world.device.seen = "another"
        world.device.answer = Reading({"battery.charge": 50}, Status.OL)
        await clock.advance(6)
        assert kept[-1].seen == "another"
        world.device.seen = None  # type: ignore[assignment]
        await clock.advance(6)
        assert (world.status, kept[-1].seen) == ("OL", "")


async def test_a_driver_started_in_an_outage_without_a_charge_reaches_low_battery(clock: FakeClock) -> None:
    memory = Memory(clock.wall() - 60, 21.0, True, load=3600.0, capacity=10_000.0, low=20.0)
    async with World(clock) as world:
        world.driver._recall = Recall(memory)
        world.device.answer = NOTHING
        kept: list[Memory] = []
        world.driver.keep = kept.append
        await clock.advance(6)
        assert world.status == "OB"
        assert world.value("battery.charge") == "20"
        assert "remembered" in (world.value("experimental.battery.charge.source") or "")
        assert world.value("experimental.lowbattery.detection") == "possible: by battery.charge"
        await clock.advance(60)
        assert world.status == "OB LB"
        assert kept
        assert kept[-1].off_grid
        assert kept[-1].charge < 20.5


async def test_a_driver_that_knows_nothing_says_that_low_battery_cannot_be_seen(clock: FakeClock) -> None:
    async with World(clock) as world:
        world.device.answer = NOTHING
        await clock.advance(6)
        assert world.status == "OB"
        assert (world.value("experimental.lowbattery.detection") or "").startswith("impossible")


def test_a_device_that_says_low_battery_itself_is_repeated_as_it_is(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "says_low", True)
    made = World(clock)
    assert Driver(made.settings, made.device, clock, memory=OUTAGE)._recall.complete(NOTHING, 0, WALL) is NOTHING
