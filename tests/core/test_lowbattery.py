# SPDX-License-Identifier: GPL-2.0-or-later
"""When LB comes and goes: marks, the order in which they are looked for, ignorelb, counting down."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.core.lowbattery import CHARGE, RUNTIME, SHORT, Low, Wish, Wishes, after, coasted, detection, mark
from nutdrv_py.device.reading import Decline, Reading, Status, Value

OB, OL, LB = Status.OB, Status.OL, Status.LB


def _low(values: dict[str, Value], wishes: Wishes, status: Status = OB, seconds: float = 0.0, decline: Decline | None = None) -> bool:
    reading = Reading(values, status, decline=decline)
    return bool(after(after(Low(), reading, wishes, 0.0, fresh=True), reading, wishes, seconds, fresh=True).reasons)


@pytest.mark.parametrize(
    ("wish", "told", "known", "own", "cutoff", "found"),
    [
        (Wish(40, 22), 20, 20, 15, None, 40),
        (Wish(None, 22), 20, 19, 15, None, 20),
        (Wish(None, 22), None, 19, 15, None, 19),
        (Wish(None, 22), None, None, 15, None, 22),
        (Wish(), None, None, 15, None, 15),
        (Wish(), None, None, None, None, None),
        (Wish(5), None, None, 20, 10, 11),
        (Wish(30), None, None, 20, 10, 30),
        (Wish(5), None, None, 20, 99.5, 99),
    ],
)
def test_marks_are_looked_for_in_one_order_and_never_lie_at_or_below_the_devices_limit(
    wish: Wish, told: float | None, known: float | None, own: float | None, cutoff: float | None, found: float | None
) -> None:
    values: dict[str, Value] = {} if told is None else {f"{CHARGE}.low": told}
    reading = Reading(values, OB, decline=Decline(low=own, cutoff=cutoff))
    assert mark(CHARGE, reading, Wishes(charge=wish), known) == found


@pytest.mark.parametrize(
    ("values", "wishes", "low"),
    [
        ({CHARGE: 20}, Wishes(charge=Wish(20)), True),
        ({CHARGE: 20.4}, Wishes(charge=Wish(20)), False),
        ({CHARGE: "19"}, Wishes(charge=Wish(default=20)), True),
        ({}, Wishes(charge=Wish(20)), False),
        ({CHARGE: 5}, Wishes(), False),
        ({CHARGE: 15, f"{CHARGE}.low": 20}, Wishes(), True),
        ({CHARGE: 15, f"{CHARGE}.low": 20}, Wishes(says_low=True), False),
        ({CHARGE: 15, f"{CHARGE}.low": 20}, Wishes(says_low=True, ignorelb=True), True),
        ({CHARGE: 15, f"{CHARGE}.low": 20}, Wishes(Wish(30), says_low=True), True),
        ({CHARGE: 15}, Wishes(Wish(default=30), says_low=True), True),
        ({CHARGE: 25, f"{CHARGE}.low": 20}, Wishes(Wish(default=30), says_low=True), False),
    ],
)
def test_the_charge_makes_lb_at_its_mark(values: dict[str, Value], wishes: Wishes, low: bool) -> None:
    assert _low(values, wishes) is low
    assert not _low(values, wishes, OL)


def test_the_runtime_makes_lb_only_when_it_has_lasted() -> None:
    wishes = Wishes(runtime=Wish(120))
    assert not _low({RUNTIME: 100}, wishes, seconds=SHORT - 1)
    assert _low({RUNTIME: 100}, wishes, seconds=SHORT)
    assert not _low({RUNTIME: 130}, wishes, seconds=SHORT)
    assert not _low({RUNTIME: 100}, wishes, seconds=SHORT, decline=Decline(by_runtime=False))


@pytest.mark.parametrize(
    ("values", "low"),
    [
        ({CHARGE: "20.9", f"{CHARGE}.low": "21"}, True),
        ({CHARGE: "21.2", f"{CHARGE}.low": "21"}, False),
        ({RUNTIME: "100", f"{RUNTIME}.low": "120"}, True),
        ({CHARGE: "5"}, False),
    ],
)
def test_ignorelb_compares_whole_parts_at_once_and_drops_the_devices_own_lb(values: dict[str, Value], low: bool) -> None:
    wishes = Wishes(ignorelb=True)
    assert _low(values, wishes) is low
    assert _low(values, wishes, OB | LB) is low
    assert not _low(values, wishes, OL)


def test_lb_that_the_device_says_stays_while_what_it_told_then_has_vanished_with_it() -> None:
    low = after(Low(), Reading({CHARGE: 19}, OB | LB), Wishes(), 0.0, fresh=True)
    low = after(low, Reading({}, OB), Wishes(), 5.0, fresh=True)
    assert low.reasons == {"device"}
    low = after(low, Reading({CHARGE: 24}, OB), Wishes(), 10.0, fresh=True)
    assert not low.reasons
    bare = after(Low(), Reading({}, OB | LB), Wishes(), 0.0, fresh=True)
    assert not after(bare, Reading({}, OB), Wishes(), 5.0, fresh=True).reasons


def test_a_mark_that_the_device_leaves_out_of_a_reading_still_counts() -> None:
    low = after(Low(), Reading({CHARGE: 90, f"{CHARGE}.low": 20}, OL), Wishes(), 0.0, fresh=True)
    assert after(low, Reading({CHARGE: 15}, OB), Wishes(), 5.0, fresh=True).reasons == {CHARGE}


def test_on_the_grid_nothing_changes_while_the_device_is_silent() -> None:
    reading = Reading({CHARGE: 22, RUNTIME: 300}, OL, decline=Decline(load=5000, capacity=5000))
    assert coasted(reading, 100) is reading


def test_off_the_grid_charges_and_runtime_count_down_each_in_its_own_type() -> None:
    decline = Decline(load=5000, capacity=5000, charge=22.0, falling=(CHARGE, "experimental.x"))
    reading = Reading({CHARGE: 22, RUNTIME: "300", "experimental.x": 30.0}, OB, decline=decline)
    later = coasted(reading, 36)
    assert later.values == {CHARGE: 21, RUNTIME: 264, "experimental.x": 29.0}
    assert later.decline is not None
    assert later.decline.charge == 21.0
    assert coasted(Reading({CHARGE: 22, RUNTIME: 300}, OB), 36).values == {CHARGE: 22, RUNTIME: 264}


@given(st.floats(0, 1e6), st.floats(0, 1e7), st.floats(0, 100))
def test_counting_down_takes_no_lb_back_and_makes_none_on_the_grid(seconds: float, load: float, charge: float) -> None:
    wishes = Wishes(charge=Wish(20), runtime=Wish(100))
    for status in (OL, OB):
        reading = Reading({CHARGE: charge, RUNTIME: 300}, status, decline=Decline(load=load, capacity=100.0))
        low = after(Low(), reading, wishes, 0.0, fresh=True)
        later = after(low, coasted(reading, seconds), wishes, seconds, fresh=False)
        assert low.reasons <= later.reasons
        assert status is OB or not later.reasons


@pytest.mark.parametrize(
    ("values", "status", "text"),
    [
        ({CHARGE: 50}, OB, "possible: by battery.charge"),
        ({CHARGE: 50, RUNTIME: 5}, OL, "possible: by battery.charge, battery.runtime"),
        ({}, OL, "unknown"),
        ({}, OB, "impossible: neither a charge nor a runtime with a low mark is known"),
    ],
)
def test_it_is_told_by_what_lb_will_come(values: dict[str, Value], status: Status, text: str) -> None:
    assert detection(Reading(values, status), Wishes(Wish(20), Wish(60)), Low()) == text


def _generator(charge: float | None, *, recharged: bool = True, cutoff: float | None = 10.0) -> Reading:
    values: dict[str, Value] = {} if charge is None else {CHARGE: charge, RUNTIME: 60}
    return Reading(values, OB, decline=Decline(low=20.0, cutoff=cutoff, recharged=recharged))


_GONE = Reading({CHARGE: 18, RUNTIME: 60}, OB, decline=Decline(low=20.0, cutoff=10.0))


@pytest.mark.parametrize(
    ("story", "low"),
    [
        # (seconds, reading, fresh); LB is that after the last one.
        ([(0, _generator(18), True)], False),
        ([(0, _generator(18), True), (600, _generator(19), True)], False),
        ([(0, _generator(18), True), (5, _generator(17), True)], False),
        ([(0, _generator(18), True), (5, _generator(16.5), True)], True),
        ([(0, _generator(18), True), (5, _generator(16.5), True), (10, _generator(17), True)], False),
        ([(0, _generator(18), True), (5, _generator(None), True), (10, _generator(18, recharged=False), True)], True),
        ([(0, _generator(18, recharged=False), True)], True),
        ([(0, _generator(18, recharged=False), True), (5, _generator(18), True)], False),
        ([(0, _generator(18), True), (5, _GONE, True)], True),
        # A lost answer, then a silent gateway.
        ([(0, _generator(18), True), (30, _generator(17.9), False)], False),
        ([(0, _generator(18), True), (31, _generator(17.9), False)], True),
        ([(0, _generator(18), False)], True),
        ([(0, _generator(16.5, recharged=False), False), (5, _generator(16.5), False)], True),
        # Close to the device's own limit, or to the one it may have.
        ([(0, _generator(13), True)], True),
        ([(0, _generator(13.5), True)], False),
        ([(0, _generator(17, cutoff=15.0), True)], True),
        ([(0, _generator(13, cutoff=None), True)], True),
        ([(0, _generator(18), True), (5, replace(_generator(18), status=OB | LB), True)], True),
    ],
)
def test_a_generator_that_charges_the_battery_holds_lb_back_until_anything_speaks_against_it(story: list[tuple[float, Reading, bool]], low: bool) -> None:
    state = Low()
    for seconds, reading, fresh in story:
        state = after(state, reading, Wishes(runtime=Wish(120)), seconds, fresh=fresh)
    assert bool(state.reasons) is low


def test_a_generator_holds_back_no_lb_of_ignorelb_either_once_it_stops() -> None:
    wishes = Wishes(Wish(20), ignorelb=True)
    low = after(Low(), _generator(18), wishes, 0.0, fresh=True)
    assert not low.reasons
    assert after(low, _GONE, wishes, 5.0, fresh=True).reasons == {CHARGE}


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100), st.booleans()), max_size=20))
def test_without_the_word_of_a_generator_nothing_holds_lb_back(story: list[tuple[bool, float, bool]]) -> None:
    """An ordinary outage, with whatever was before: as if there were no generators at all."""
    state = Low()
    for at, (recharged, charge, fresh) in enumerate(story):
        state = after(state, _generator(charge, recharged=recharged), Wishes(), at * 5.0, fresh=fresh)
        if fresh and not recharged and charge <= 20:
            assert state.reasons
