# SPDX-License-Identifier: GPL-2.0-or-later
"""What a device tells that would make LB, or hide it, is doubted as far as a house's battery allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nutdrv_py.device.storage import CONFIRMATION, SAMPLES
from nutdrv_py.device.trust import ASSUMED_DRAIN, DIFFERENCE, DRAIN_AGE, Band, Drain, Standstill, Steady, most_power

LIMIT = Band(0, 90, 0, 30, step=5)
SIZE = Band(500, 1e6, 1000, 1e6, share=0.5, rises=True)


@pytest.mark.parametrize(
    ("band", "told", "believed"),
    [
        (LIMIT, [10], 10),
        (LIMIT, [95], None),
        (LIMIT, [50], None),
        (LIMIT, [50, 50], None),
        (LIMIT, [50, 50, 50], 50),
        (LIMIT, [10, 95, 95, 95, 95], 10),
        (LIMIT, [10, 60, 60], 10),
        (LIMIT, [10, 60, 60, 60], 60),
        (LIMIT, [10, 60, 10, 60, 60], 10),
        (LIMIT, [10, 14], 14),
        (LIMIT, [10, None, -3, float("nan"), float("inf")], 10),
        (SIZE, [1], None),
        (SIZE, [10_000, 1, 1, 1, 1], 10_000),
        (SIZE, [10_000, 600, 600], 10_000),
        (SIZE, [10_000, 600, 600, 600], 600),
        (SIZE, [10_000, 14_000], 14_000),
    ],
)
def test_a_setting_that_jumps_counts_when_it_has_stayed(band: Band, told: list[float | None], believed: float | None) -> None:
    steady = Steady(band)
    for index, value in enumerate(told):
        steady.update(value, index * CONFIRMATION / (SAMPLES - 1))
    assert steady.value == believed


def test_a_size_that_grows_while_the_parts_are_found_waits_for_answers_and_not_for_minutes() -> None:
    steady = Steady(SIZE)
    for at, told in enumerate((1900, 3800, 3800, 3800)):
        steady.update(told, at)
    assert steady.value == 3800


def test_one_answer_that_is_looked_at_often_confirms_nothing() -> None:
    steady = Steady(LIMIT)
    steady.update(10, 0)
    for _ in range(1000):
        steady.update(80, 1)
    assert steady.value == 10


def test_many_answers_within_a_minute_confirm_nothing() -> None:
    steady = Steady(LIMIT)
    for second in range(int(CONFIRMATION) - 1):
        steady.update(80, second)
    assert steady.value is None


@pytest.mark.parametrize(
    ("history", "watts"),
    [
        ([], ASSUMED_DRAIN),
        ([(None, None, 0)], ASSUMED_DRAIN),
        ([(None, 600, 0)], 600),
        ([(2500, 600, 0), (None, None, 100)], 2500),
        ([(2500, 600, 0), (None, None, DRAIN_AGE + 1)], 2500),
        ([(200, 900, 0), (None, None, DRAIN_AGE + 1)], 900),
        ([(200, 900, 0), (None, None, 100)], 200),
        ([(-3000, 900, 0)], 0),
        ([(-3000, 900, 0), (None, None, DRAIN_AGE + 1)], 900),
        ([(2500, 600, 0), (2_147_483, None, 5)], 2500),
        ([(2500, 600, 0), (None, 2_147_483, DRAIN_AGE + 1)], 20_000),
    ],
)
def test_the_drain_is_what_was_told_last_and_at_most_what_the_battery_gives(history: list[tuple[float | None, float | None, float]], watts: float) -> None:
    drain = Drain()
    for told, load, now in history:
        drain.update(told, load, now, most_power(10_000, 60_000))
    assert drain.watts == watts


def test_a_power_told_before_the_size_was_known_is_at_most_what_the_battery_gives() -> None:
    drain = Drain()
    assert drain.update(25000.0, None, 0.0, most_power(None, 30000.0)) == 25000
    assert drain.update(None, 500.0, 5.0, most_power(3500.0, 30000.0)) == 7000


def test_a_charge_that_follows_what_is_drawn_is_believed_to_the_end() -> None:
    still = Standstill()
    for told in range(100, -1, -1):
        for _ in range(10):
            assert still.update(told, 0.1, off_grid=True) == told


@given(st.floats(0.5, 2.0))
def test_a_capacity_that_is_half_or_twice_what_is_true_makes_no_difference(error: float) -> None:
    still = Standstill()
    for step in range(1000):
        told = 100 - step // 10
        assert still.update(told, 0.1 * error, off_grid=True) == told


def test_a_charge_that_stands_still_falls_with_what_is_drawn_after_the_named_difference() -> None:
    still = Standstill()
    believed = [still.update(22.0, 0.5, off_grid=True) for _ in range(30)]
    assert believed[: int(DIFFERENCE / 0.5)] == [22.0] * int(DIFFERENCE / 0.5)
    assert believed[-1] == pytest.approx(22 - 15)
    assert still.behind == pytest.approx(15)


def test_a_charge_that_catches_up_is_not_counted_twice() -> None:
    still = Standstill()
    for _ in range(20):
        still.update(60.0, 0.5, off_grid=True)
    assert still.update(50.0, 0.0, off_grid=True) == pytest.approx(50)
    assert still.behind == 0


def test_the_sun_takes_the_difference_back_and_the_grid_forgets_it() -> None:
    still = Standstill()
    for _ in range(20):
        still.update(60.0, 0.5, off_grid=True)
    assert still.update(64.0, 0.0, off_grid=True) == pytest.approx(64 - 6)
    assert still.update(64.0, 0.0, off_grid=False) == 64
    assert still.update(64.0, 0.0, off_grid=True) == 64


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 3), st.booleans()), max_size=60))
def test_the_believed_charge_is_never_above_the_told_one_and_never_below_nothing(steps: list[tuple[float, float, bool]]) -> None:
    still = Standstill()
    for told, drawn, off_grid in steps:
        assert 0 <= still.update(told, drawn, off_grid=off_grid) <= told
